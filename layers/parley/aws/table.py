"""Conversations in one DynamoDB table: each method is the calls that its port's docstring promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from parley.aws import forgetting, items
from parley.aws.allowances import Allowances
from parley.aws.failures import cancelled, condition_failed
from parley.aws.rating import rate
from parley.domain.conversation import Change, Conversation, EventMark
from parley.domain.limits import Policy
from parley.domain.message import Message
from parley.domain.turn import Turn, TurnStatus, TurnUpdate
from parley.errors import AlreadySeen, Conflict, WriteError

LOST_RACES = {"ConditionalCheckFailed", "TransactionConflict"}


class Table:
    """`Conversations` over a low-level DynamoDB client. `clock` gives epoch seconds, `policy` what users may take."""

    def __init__(self, client: Any, name: str, clock: Callable[[], float], policy: Policy | None = None) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._allowances = Allowances(client, name, policy or Policy())

    # -- reading

    def load(self, conversation: str, newest: int) -> tuple[Conversation | None, list[Message]]:
        """The state and the newest messages: one backward query from STATE, which sorts right behind them."""
        found = self._query(conversation, "MSG#", items.STATE, newest + 1)
        messages = [items.to_message(item) for item in reversed(found) if item["sk"]["S"] != items.STATE]
        if not found or found[0]["sk"]["S"] != items.STATE:
            return None, []
        return items.to_conversation(found[0]), messages[-newest:] if newest else []

    def find(self, conversation: str) -> Conversation | None:
        """The state alone."""
        item = self._get(conversation, items.STATE)
        return items.to_conversation(item) if item else None

    def mark(self, conversation: str, event: str) -> EventMark | None:
        """An event's mark, unless it has expired: DynamoDB removes expired items days later."""
        item = self._get(conversation, items.mark_key(event))
        if not item or float(item["expires"]["N"]) <= self._clock():
            return None
        return items.to_mark(item)

    def turn(self, conversation: str, number: int) -> Turn | None:
        """One turn."""
        item = self._get(conversation, items.turn_key(number))
        return items.to_turn(item) if item else None

    def turns(self, conversation: str, upto: int, count: int) -> list[Turn]:
        """A turn and those before it, backwards."""
        return [items.to_turn(item) for item in self._query(conversation, "TURN#", items.turn_key(upto), count)]

    def message(self, conversation: str, sequence: int) -> Message | None:
        """One message."""
        item = self._get(conversation, items.message_key(sequence))
        return items.to_message(item) if item else None

    def messages(self, conversation: str, before: int, limit: int) -> list[Message]:
        """A page of messages, oldest first."""
        found = self._query(conversation, "MSG#", items.message_key(max(before, 1) - 1), limit)
        return [items.to_message(item) for item in reversed(found)]

    def overdue(self, now: float, limit: int) -> list[tuple[str, int]]:
        """Open turns past their deadline, from the sparse index.

        They share one of its partitions: at 1,000 writes a second that carries 500 turns a second.
        """
        found = self._client.query(
            TableName=self._name,
            IndexName="open-turns",
            KeyConditionExpression="#open = :yes AND deadline <= :now",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":yes": {"S": "1"}, ":now": {"N": repr(now)}},
            Limit=limit,
        )["Items"]
        return [(i["pk"]["S"].removeprefix("CONV#"), int(i["sk"]["S"].removeprefix("TURN#"))) for i in found]

    def of_user(self, user: str, limit: int) -> list[Conversation]:
        """A user's conversations, the newest first."""
        found = self._client.query(
            TableName=self._name,
            IndexName="user-conversations",
            KeyConditionExpression="#user = :user",
            ExpressionAttributeNames={"#user": "user"},
            ExpressionAttributeValues={":user": {"S": user}},
            ScanIndexForward=False,
            Limit=limit,
        )["Items"]
        return [items.to_conversation(item) for item in found]

    # -- writing

    def commit(self, change: Change) -> None:
        """One transaction. That its event is new and its version still stored are conditions of its own items."""
        conversation = change.after.id
        writes = [self._state(change)]
        writes += [self._put(items.from_message(conversation, message)) for message in change.messages]
        if change.opened is not None:
            writes.append(self._put(items.from_turn(change.opened)))
        if change.updated is not None:
            writes.append({"Update": self._turn_update(conversation, change.updated)})
        taking = self._allowances.going_with(change)
        if taking is not None:
            writes.append({"Update": taking})
        if change.guest is not None:
            writes.append(self._put(items.from_participation(change.guest, conversation)))
        if change.mark is not None:
            writes.append(self._put(items.from_mark(conversation, change.mark)))
        if change.new_mark is not None:
            write = self._put(items.from_mark(conversation, change.new_mark))
            write["Put"] |= {
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            writes.append(write)
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reason = self._reason(error, change, None if taking is None else writes.index({"Update": taking}))
            if reason is None:
                raise
            raise reason from error

    def rate(self, conversation: str, sequence: int, rating: str | None) -> None:
        """One conditional update."""
        rate(self._client, self._name, conversation, sequence, rating)

    def sent(self, turn: Turn, pieces: int, done: bool, now: float) -> None:
        """Count the pieces; with the last one the turn is delivered, or its failure told."""
        status = TurnStatus.DELIVERED if done and turn.status is TurnStatus.ANSWERED else turn.status
        values = {":n": pieces, ":status": status, ":now": now}
        expression = "SET sent = :n, #status = :status, ended = :now" + (" REMOVE #open, deadline" if done else "")
        names = {"#status": "status"} | ({"#open": "open"} if done else {})
        self._update_turn(turn, expression, names, values, "attribute_exists(pk) AND sent < :n")

    def undeliverable(self, turn: Turn, error: str, now: float) -> None:
        """End the turn without its delivery, unless that has come to an end meanwhile."""
        names = {"#open": "open"}
        values: dict[str, Any] = {":now": now}
        fields = "ended = :now"
        if turn.status is not TurnStatus.FAILED:
            names |= {"#status": "status", "#error": "error"}
            values |= {":status": TurnStatus.UNDELIVERABLE, ":error": error}
            fields += ", #status = :status, #error = :error"
        expression = f"SET {fields} REMOVE #open, deadline"
        self._update_turn(turn, expression, names, values, "attribute_exists(#open)")

    def postpone(self, turn: Turn, deadline: float) -> None:
        """A later deadline and one more try, unless the delivery has come to an end meanwhile."""
        values = {":deadline": deadline, ":tries": turn.tries + 1}
        self._update_turn(
            turn, "SET deadline = :deadline, tries = :tries", {"#open": "open"}, values, "attribute_exists(#open)"
        )

    def tell_once(self, turn: Turn) -> bool:
        """One conditional update."""
        values = {":yes": True, ":no": False, ":status": TurnStatus.THINKING}
        condition = "#status = :status AND (attribute_not_exists(told) OR told = :no)"
        try:
            self._update_turn(turn, "SET told = :yes", {"#status": "status"}, values, condition)
        except Conflict:
            return False
        return True

    def reopen(self, conversation: str, number: int, deadline: float) -> bool:
        """Owe once more what the channel would not take, until `deadline`; False when the turn ended otherwise.

        For the owner who replays a dead letter: no stage does this.
        """
        turn = self.turn(conversation, number)
        if turn is None or turn.status not in (TurnStatus.UNDELIVERABLE, TurnStatus.FAILED):
            return False
        status = TurnStatus.ANSWERED if turn.status is TurnStatus.UNDELIVERABLE else turn.status
        values = {":status": status, ":was": turn.status, ":yes": "1", ":deadline": deadline, ":tries": turn.tries + 1}
        expression = "SET #status = :status, #open = :yes, deadline = :deadline, tries = :tries"
        names = {"#status": "status", "#open": "open"}
        self._update_turn(turn, expression, names, values, "#status = :was AND attribute_not_exists(#open)")
        return True

    def forget(self, conversation: str) -> None:
        """Page by page; the turn in progress is given back."""
        user = forgetting.forget(self._client, self._name, conversation, self._clock())
        if user is not None:
            self._allowances.give_back(user, conversation, self._clock())

    def forget_messages(self, conversation: str, mark: EventMark, sequences: Sequence[int]) -> None:
        """Delete the messages and, with the first of them, the title that was made of it."""
        writes: list[dict[str, Any]] = [self._put(items.from_mark(conversation, mark))]
        doomed = [items.key(conversation, items.message_key(sequence)) for sequence in sequences]
        writes += [{"Delete": {"TableName": self._name, "Key": key}} for key in doomed]
        if 1 in sequences:
            update = self._update(items.key(conversation, items.STATE), "SET title = :none", {}, {":none": ""})
            writes.append({"Update": update | {"ConditionExpression": "attribute_exists(pk)"}})
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if not any(reason.get("Code") == "ConditionalCheckFailed" for reason in cancelled(error)):
                raise
            raise Conflict(f"conversation {conversation} is gone") from error

    # -- calls

    def _get(self, conversation: str, sort: str) -> Mapping[str, Any] | None:
        answer = self._client.get_item(TableName=self._name, Key=items.key(conversation, sort), ConsistentRead=True)
        item: Mapping[str, Any] | None = answer.get("Item")
        return item

    def _query(self, conversation: str, first: str, last: str, limit: int) -> list[dict[str, Any]]:
        """At most `limit` items with sort keys from `first` to `last`, the highest first.

        One page: what DynamoDB leaves out past 1 MB is older history, which no prompt could hold.
        """
        found: list[dict[str, Any]] = self._client.query(
            TableName=self._name,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": items.partition(conversation)},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )["Items"]
        return found

    def _put(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self._name, "Item": item}}

    def _state(self, change: Change) -> dict[str, Any]:
        """The versions of a conversation that was deleted and has begun again are told apart by when it began."""
        write = self._put(items.from_conversation(change.after))
        write["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
        if change.before:
            values = {":before": items.encode(change.before), ":created": items.encode(change.after.created)}
            condition = "version = :before AND created = :created"
            write["Put"] |= {"ConditionExpression": condition, "ExpressionAttributeValues": values}
        return write

    def _turn_update(self, conversation: str, update: TurnUpdate) -> dict[str, Any]:
        fields = update.fields()
        if update.deadline is not None:
            fields["deadline"] = update.deadline
        names = {f"#{name}": name for name in fields}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in fields)
        if update.deadline is None:
            expression += " REMOVE #open, #deadline"
            names |= {"#open": "open", "#deadline": "deadline"}
        values = {f":{name}": value for name, value in fields.items()}
        return self._update(items.key(conversation, items.turn_key(update.number)), expression, names, values)

    def _update_turn(
        self, turn: Turn, expression: str, names: dict[str, str], values: dict[str, Any], condition: str
    ) -> None:
        update = self._update(items.key(turn.conversation, items.turn_key(turn.number)), expression, names, values)
        try:
            self._client.update_item(**update, ConditionExpression=condition)
        except ClientError as error:
            if not condition_failed(error):
                raise
            raise Conflict(f"turn {turn.number} has moved on") from error

    def _update(
        self, key: Mapping[str, Any], expression: str, names: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Any]:
        update: dict[str, Any] = {
            "TableName": self._name,
            "Key": key,
            "UpdateExpression": expression,
            "ExpressionAttributeValues": {name: items.encode(value) for name, value in values.items()},
        }
        return update | ({"ExpressionAttributeNames": names} if names else {})

    def _reason(self, error: ClientError, change: Change, taking: int | None) -> WriteError | None:
        """Why a transaction was cancelled, in Parley's words; None for any other error.

        `taking` is where in it the user's allowance is written. That the event is known counts first: a transaction
        whose answer was lost, and which was sent again, fails on the version as well.
        """
        reasons = cancelled(error)
        codes = [reason.get("Code") for reason in reasons]
        if change.new_mark is not None and codes and codes[-1] == "ConditionalCheckFailed":
            item = reasons[-1].get("Item")
            stored = items.to_mark(item) if item else self.mark(change.after.id, change.new_mark.event)
            return AlreadySeen(stored or change.new_mark)
        if taking is not None and [n for n, code in enumerate(codes) if code in LOST_RACES] == [taking]:
            return self._allowances.refusal(change, reasons[taking].get("Item"))
        if any(code in LOST_RACES for code in codes):
            return Conflict(f"conversation {change.after.id} has moved on from version {change.before}")
        return None
