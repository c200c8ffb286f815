"""What users have taken of their limits: one table item for each user and day, removed by its time to live.

A day's item begins empty, so that no write has to know what was there before: counts are added to, turns are members
of a set. With the day, turns that are in progress are forgotten: at midnight (UTC) a user may have twice as many.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from parley.aws.items import user_partition
from parley.domain.conversation import Change
from parley.domain.limits import DAY, MINUTE, Kind, Limits, Over, Policy, Taken, day_of, exceeded, until
from parley.domain.message import conversation_key
from parley.domain.turn import TurnStatus, is_read_on_demand
from parley.errors import Conflict, OverLimit, WriteError

ENDS = {TurnStatus.ANSWERED, TurnStatus.DELIVERED, TurnStatus.FAILED, TurnStatus.CANCELLED}
KEPT_SECONDS = 2 * DAY
TRIES = 6
"""A single write is refused while a transaction holds the item, for some milliseconds."""


class Allowances:
    """`Allowances` over a low-level DynamoDB client, and the writes that belong into a conversation's transaction."""

    def __init__(self, client: Any, table: str, policy: Policy, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._policy = policy
        self._pause = pause

    def admit(self, user: str, conversation: str, now: float, opens: bool = True) -> None:
        """One conditional write where requests are counted, else one read if it opens a turn. Raises OverLimit."""
        limits = self._policy.of(user)
        if not (limits.any if opens else limits.requests_per_minute):
            return
        if limits.requests_per_minute:
            update = self.write(user, conversation, now, counts=True, turn="look" if opens else "")
            item = self._put(update or {})
        else:
            item = self._client.get_item(TableName=self._table, Key=_key(user, now)).get("Item", {})
        over = None if item is None else self.over(item, user, conversation, now, counts=True, opens=opens)
        if over is not None:
            raise OverLimit(over)

    def give_back(self, user: str, conversation: str, now: float) -> None:
        """The turn of a conversation that is deleted."""
        update = self.write(user, conversation, now, turn="close")
        if update is not None:
            self._put(update)

    def going_with(self, change: Change) -> dict[str, Any] | None:
        """The update that belongs into a change's transaction: a turn is taken or given back, tokens are counted."""
        after, over = change.after, change.over
        opens = change.opened is not None and over is None
        ended = change.updated if change.updated is not None and change.updated.status in ENDS else None
        usage = (ended.usage if ended is not None else None) or {}
        return self.write(
            after.user, after.id, after.updated,
            counts=opens and not is_read_on_demand(after.id),
            turn="open" if opens else "close" if ended is not None else "",
            tokens=sum(usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens")),
            told=max(over.until, until(Kind.REQUESTS, after.updated)) if over is not None and change.refusal else 0.0,
        )  # fmt: skip

    def refusal(self, change: Change, item: Mapping[str, Any] | None) -> WriteError:
        """Why that update was refused: OverLimit, or Conflict where it was too busy or there is room by now.

        `item` is the user's item as the refusal gave it back.
        """
        if item is None:
            return Conflict(f"the allowance of {change.after.user} is being written")
        if change.over is not None:
            return OverLimit(replace(change.over, told=True))
        after, counts = change.after, not is_read_on_demand(change.after.id)
        over = self.over(item, after.user, after.id, after.updated, counts=counts, opens=True)
        return OverLimit(over) if over is not None else Conflict(f"the allowance of {after.user} has changed")

    def over(
        self, item: Mapping[str, Any], user: str, conversation: str, now: float, *, counts: bool, opens: bool
    ) -> Over | None:
        """The limit that a user's item of today stands at."""
        limits = self._policy.of(user)
        return exceeded(_taken(item, now), limits, conversation_key(conversation), now, counts=counts, opens=opens)

    def write(
        self,
        user: str,
        conversation: str,
        now: float,
        *,
        counts: bool = False,
        turn: str = "",
        tokens: int = 0,
        told: float = 0.0,
    ) -> dict[str, Any] | None:
        """The parameters of an update that takes or gives back; None where nothing of it is limited.

        `turn`: `open` one, if there is room, `close` it, or only `look` whether there is room. `told`: the user hears
        of it, and again only after that time; refused where it knows already.
        """
        limits = self._policy.of(user)
        built = _Update(limits, conversation_key(conversation), now)
        if counts or turn in ("open", "look"):
            built.ask(counts, turn)
        if turn == "close" and limits.turns_at_once:
            built.delete.append("#turns :turn")
        if tokens and limits.tokens_per_day:
            built.add.append("#tokens :tokens")
            built.values[":tokens"] = {"N": str(tokens)}
        if told and limits.any:
            built.tell(told)
        return {"TableName": self._table, "Key": _key(user, now), **built.parameters()} if built.changes else None

    def _put(self, update: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """None when it was written, else the item against which it was refused."""
        for left in range(TRIES - 1, -1, -1):
            try:
                self._client.update_item(**update)
                return None
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ConditionalCheckFailedException":
                    item: Mapping[str, Any] = error.response.get("Item", {})
                    return item
                if code != "TransactionConflictException" or not left:
                    raise
            self._pause(random.uniform(0.005, 0.03))
        return None


class _Update:
    """One update on its way: its clauses, conditions, names and values."""

    def __init__(self, limits: Limits, turn: str, now: float) -> None:
        self._limits = limits
        self._now = now
        self.add: list[str] = []
        self.delete: list[str] = []
        self.set: list[str] = []
        self.conditions: list[str] = []
        self.values: dict[str, Any] = {":turn": {"SS": [turn]}, ":member": {"S": turn}, ":one": {"N": "1"}}

    @property
    def changes(self) -> bool:
        """Whether there is anything to write, or to refuse."""
        return bool(self.add or self.delete or self.set or self.conditions)

    def ask(self, counts: bool, turn: str) -> None:
        """Take one request, one turn; refuse where there is none left, and a turn where no tokens are."""
        if counts and self._limits.requests_per_minute:
            self.add.append("#minute :one")
            self._below("#minute", ":requests", self._limits.requests_per_minute)
        if turn and self._limits.tokens_per_day:
            self._below("#tokens", ":most", self._limits.tokens_per_day)
        if turn and self._limits.turns_at_once:
            self.values[":turns"] = {"N": str(self._limits.turns_at_once)}
            self.conditions.append(
                "(attribute_not_exists(#turns) OR contains(#turns, :member) OR size(#turns) < :turns)"
            )
            if turn == "open":
                self.add.append("#turns :turn")

    def tell(self, until: float) -> None:
        """The user is told, if it was not."""
        self.set.append("#told = :told")
        self.conditions.append("(attribute_not_exists(#told) OR #told <= :now)")
        self.values |= {":told": {"N": repr(until)}, ":now": {"N": repr(self._now)}}

    def parameters(self) -> dict[str, Any]:
        """Expressions, and the names and values that they use."""
        self.set.append("#expires = :expires")
        self.values[":expires"] = {"N": str(int(self._now) + KEPT_SECONDS)}
        clauses = {"SET": self.set, "ADD": self.add, "DELETE": self.delete}
        update = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
        condition = " AND ".join(self.conditions)
        names = {f"#{name}": name for name in ("tokens", "turns", "told", "expires")} | {"#minute": _minute(self._now)}
        used = f"{update} {condition} "
        found: dict[str, Any] = {
            "UpdateExpression": update,
            "ExpressionAttributeNames": {name: value for name, value in names.items() if name in used},
            "ExpressionAttributeValues": {name: value for name, value in self.values.items() if _names(name, used)},
        }
        if condition:
            found |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        return found

    def _below(self, name: str, value: str, most: int) -> None:
        self.conditions.append(f"(attribute_not_exists({name}) OR {name} < {value})")
        self.values[value] = {"N": str(most)}


def _names(name: str, expression: str) -> bool:
    """Whether an expression uses this placeholder itself, and not a longer one that begins with it."""
    return any(f"{name}{end}" in expression for end in " ,)")


def _taken(item: Mapping[str, Any], now: float) -> Taken:
    def number(name: str) -> float:
        return float(item.get(name, {"N": "0"})["N"])

    turns = frozenset(item.get("turns", {"SS": []})["SS"])
    return Taken(int(number(_minute(now))), int(number("tokens")), turns, number("told"))


def _minute(now: float) -> str:
    """The attribute that counts this minute's requests."""
    return f"m{int(now % DAY // MINUTE)}"


def _key(user: str, now: float) -> dict[str, Any]:
    return {"pk": {"S": user_partition(user)}, "sk": {"S": f"DAY#{day_of(now)}"}}
