"""Everything that a deployment keeps of one user: found, counted, and removed.

A run that dies at any call is finished by the next one, for what leads to the rest goes last: a conversation is noted
with its user before anything of it is deleted, and the user's own items, those notes among them, go when all else is
gone. A conversation goes whole, also where others wrote in it: answers, and what others say, quote what the user said.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from parley.aws import forgetting, items
from parley.aws.index import indexed
from parley.aws.table import Table
from parley.backends.sagemaker_async import FAILED, IN, OUT, asked
from parley.domain.conversation import Conversation
from parley.domain.limits import Limits, Policy
from parley.domain.message import conversation_key
from parley.domain.turn import TurnStatus, is_read_on_demand
from parley.errors import UnreadableRecord
from scripts.deployment.failures import DeploymentFailed
from scripts.operations import forgotten
from scripts.operations.place import Place, lengths
from scripts.operations.redrive import HIDDEN_SECONDS, Letter, give_back, receive_all

LATE_SECONDS = 7 * 3600.0
"""How long after a call its result may still be written: SageMaker lets it wait for six hours, and work for one."""

RECENT_TURNS = 25
SETTLED = {TurnStatus.ANSWERED, TurnStatus.DELIVERED, TurnStatus.UNDELIVERABLE}

GIVING_BACK = Policy(Limits(turns_at_once=1), Limits(turns_at_once=1))
"""Whatever is allowed: a turn in progress that is deleted is given back to whoever began the conversation."""

NOTE = items.partition("")

KINDS = ("conversations", "begun_by_others", "payloads", "dead_letters", "other_items")
"""What is counted: conversations, those of them that another user began, what the model was sent and said of them in
the bucket, dead letters, and the user's own items: counters of limits, consent."""


class NotForgotten(DeploymentFailed):
    """Something could not be removed; the text says what."""


class Forgetting:
    """What is kept of a user, looked at or, with `remove`, removed. `counts` says how much of each of KINDS there was.

    `until` (epoch seconds): until then something of it may turn up, a result of the model or a letter that somebody
    looks at; 0 where nothing can.
    """

    def __init__(
        self, place: Place, user: str, *, remove: bool, tell: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self.counts = Counter(dict.fromkeys(KINDS, 0))
        self.until = 0.0
        self._place = place
        self._user = user
        self._remove = remove
        self._tell = tell
        self._clock = clock
        self._client = place.client("dynamodb")
        self._s3 = place.client("s3")
        self._table = Table(self._client, place.table, clock, GIVING_BACK)
        self._awaited: set[str] = set()

    def run(self, by: str) -> bool:
        """Go through all of it, and put it on record; False when nothing is kept. Raises NotForgotten.

        What comes in while conversations are removed is swept up; what comes later begins a new one.
        """
        noted = self._noted()
        seen = dict.fromkeys([*noted, *self._indexed()])
        self._forget_all(list(seen), noted)
        if self._remove:
            again = [id for id in {*self._noted(), *self._indexed()} if self._table.find(id) is not None]
            self._forget_all(again, {})
            seen |= dict.fromkeys(again)
        if self._take_letters(set(seen)):  # the next run has to know whose letters to look for
            self._await(*seen, until=self._clock() + HIDDEN_SECONDS)
        own = self._own()
        self.counts["other_items"] += sum(not _is_note(item) for item in own)
        if not seen and not any(self.counts.values()):
            return False
        if self._remove:
            forgotten.record(self._client, self._place.table, self._user, by, self._clock())
            self._drop(own)
        return True

    def _forget_all(self, ids: list[str], noted: dict[str, float]) -> None:
        told = time.monotonic()
        for number, id in enumerate(ids, 1):
            self._forget(id, noted.get(id, 0.0))
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                self._tell(f"{number} of {len(ids)} conversations")

    def _forget(self, id: str, deleted: float) -> None:
        """One conversation; `deleted` is when an earlier run, or its user, deleted it, 0 where none did."""
        state = self._table.find(id)
        until = deleted + LATE_SECONDS if deleted else 0.0
        if state is not None:
            self.counts["conversations"] += 1
            self.counts["begun_by_others"] += state.user != self._user
            until = max(until, self._awaited_until(state))
        if until > self._clock():
            self._await(id, until=until)
        if self._remove:
            guest = state.user != self._user if state is not None else not deleted
            if guest:  # else the table notes it itself
                note = items.from_participation(self._user, id, self._clock())
                self._client.put_item(TableName=self._place.table, Item=note)
            self._table.forget(id)
        self._take_payloads(id)

    def _await(self, *ids: str, until: float) -> None:
        """Keep the notes of these conversations for a later run: something of theirs may still turn up."""
        self.until = max(self.until, until)
        self._awaited |= {items.partition(id) for id in ids}

    def _awaited_until(self, state: Conversation) -> float:
        """When the last result of its calls can arrive: of turns without an answer, or asked more than once."""
        turns = self._table.turns(state.id, state.turn, RECENT_TURNS)
        open_ended = [turn for turn in turns if turn.status not in SETTLED or turn.attempt > 1]
        return max((turn.ended or self._clock() for turn in open_ended), default=-LATE_SECONDS) + LATE_SECONDS

    def _take_payloads(self, id: str) -> None:
        """What the model was sent and said, whatever turn it was of."""
        bucket = self._place.outputs["BucketName"]
        for folder in (IN, OUT, FAILED):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{folder}/{conversation_key(id)}/"
            )
            for page in pages:
                found = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
                self.counts["payloads"] += len(found)
                if found and self._remove:
                    answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
                    if errors := answer.get("Errors"):
                        raise NotForgotten(f"S3 keeps {errors[0]['Key']}: {errors[0]['Code']}; run it again")

    def _take_letters(self, conversations: set[str]) -> bool:
        """Dead letters of the user, and of these conversations; others are given back.

        True when somebody else is looking at some, or a run that died was: they cannot be seen meanwhile.
        """
        hidden = False
        client = self._place.client("sqs")
        others: list[Letter] = []
        try:
            for queue in self._place.queues:
                for letter in receive_all(client, queue):
                    if not self._is_theirs(letter, conversations):
                        others.append(letter)
                        continue
                    self.counts["dead_letters"] += 1
                    if self._remove:
                        client.delete_message(QueueUrl=queue.dead_letters_url, ReceiptHandle=letter.receipt)
                    else:
                        others.append(letter)
                held = sum(letter.queue == queue for letter in others)
                hidden |= lengths(client, queue.dead_letters_url)[1] > held
        finally:
            give_back(client, others)
        return hidden

    def _drop(self, own: list[dict[str, Any]]) -> None:
        """Delete the user's own items, but for notes that are still needed.

        Those are awaited ones and, without `deleted`, one of a conversation that the user wrote in a moment ago.
        """
        table = self._place.table
        forgetting.delete(self._client, table, [item for item in own if not _is_note(item)])
        for note in own:
            if _is_note(note) and note["sk"]["S"] not in self._awaited:
                key = {"pk": note["pk"], "sk": note["sk"]}
                with suppress(self._client.exceptions.ConditionalCheckFailedException):
                    self._client.delete_item(TableName=table, Key=key, ConditionExpression="attribute_exists(deleted)")

    def _is_theirs(self, letter: Letter, conversations: set[str]) -> bool:
        fields = letter.record()
        conversation = fields.get("conversation")
        if letter.queue.name == "replies":
            try:
                conversation = asked(letter.body).conversation
            except UnreadableRecord:
                return False
        if not isinstance(conversation, str):
            return False
        own = is_read_on_demand(conversation) and conversation.startswith(f"{self._user}:")
        return own or conversation in conversations or fields.get("user") == self._user

    def _indexed(self) -> Iterator[str]:
        """The conversations that the user began."""
        return (pk.removeprefix(NOTE) for pk in indexed(self._client, self._place.table, self._user))

    def _noted(self) -> dict[str, float]:
        """The conversations that the user wrote in, though the index does not say so; when they were deleted, or 0."""
        notes = (item for item in self._own() if _is_note(item))
        return {note["sk"]["S"].removeprefix(NOTE): float(note.get("deleted", {"N": "0"})["N"]) for note in notes}

    def _own(self) -> list[dict[str, Any]]:
        """All items that are kept under the user's name."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._place.table, KeyConditionExpression="pk = :pk", ConsistentRead=True,
            ExpressionAttributeValues={":pk": {"S": items.user_partition(self._user)}},
        )  # fmt: skip
        return [item for page in pages for item in page["Items"]]


def _is_note(item: dict[str, Any]) -> bool:
    return str(item["sk"]["S"]).startswith(NOTE)
