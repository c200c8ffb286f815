"""The stage `local` on moto in this process, and what users leave in it: table, bucket, dead letters, consent."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass
from typing import Any

import boto3

from parley.aws.items import user_partition
from parley.aws.table import Table
from parley.domain import conversation as rules
from parley.domain.limits import Limits, Policy
from parley.domain.message import Incoming, conversation_key
from parley.domain.turn import Ask, ModelReply, Outgoing, Patience
from parley.envelopes import write_outbox
from scripts.operations import redrive
from scripts.operations.forgetting import Forgetting
from scripts.operations.forgotten import records
from scripts.operations.place import Place
from scripts.training.consents import Consent, give

USER, OTHER = "slack:T1:U1", "slack:T1:U2"


@dataclass
class TwoUsers:
    """What they do, and what their owner finds of it. `events` is how many messages there were."""

    session: boto3.Session
    events: int = 0

    @property
    def table(self) -> Table:
        policy = Policy(Limits(999, 999_999, 9), Limits(999, 999_999, 9))
        return Table(self.session.client("dynamodb"), self.place.table, time.time, policy)

    def says(self, user: str, conversation: str, word: str) -> None:
        self.events += 1
        incoming = self.incoming(user, conversation, word)
        self.table.commit(rules.accept(self.table.find(conversation), incoming, "r", time.time(), Patience()))

    def incoming(self, user: str, conversation: str, word: str) -> Incoming:
        return Incoming(
            f"e{self.events}", conversation, "default", user, word, time.time(), f"t{self.events}",
            options={"instructions": word}, details={"metadata": {"about": word}},
        )  # fmt: skip

    def answers(self, conversation: str, word: str) -> None:
        state = self.table.find(conversation)
        assert state is not None
        reply = ModelReply(f"you said {word}", usage={"prompt_tokens": 5})
        self.table.commit(rules.answer(state, state.turn, 1, reply, "n", time.time(), Patience()))
        self.lays(state.ask(), "out", word)

    def lays(self, ask: Ask, folder: str, word: str) -> None:
        """What SageMaker, or think, lays into the bucket."""
        place = {"Bucket": self.place.outputs["BucketName"], "Key": f"model/{folder}/{ask.path}/x.out"}
        self.session.client("s3").put_object(**place, Body=word.encode())

    def fill(self, user: str, own: str, word: str) -> None:
        """A turn in progress, what the model is sent for it, an answer that nobody would take, and consent."""
        self.says(user, own, word)
        state = self.table.find(own)
        assert state is not None
        self.lays(state.ask(), "in", word)
        self.buries("outbox", write_outbox(Outgoing(own, state.turn, "default", word, "t")), own)
        consent = Consent(user, time.time(), "the owner", f"wrote: {word}")
        give(self.session.client("dynamodb"), self.place.table, consent)

    def buries(self, queue: str, body: str, conversation: str) -> None:
        """A dead letter."""
        (dead,) = [entry for entry in self.place.queues if entry.name == queue]
        order = {"MessageGroupId": conversation_key(conversation), "MessageDeduplicationId": f"{time.time_ns()}"}
        self.session.client("sqs").send_message(
            QueueUrl=dead.dead_letters_url, MessageBody=body, **(order if dead.fifo else {})
        )

    def items(self) -> list[Any]:
        table = self.place.table
        found: list[Any] = self.session.client("dynamodb").scan(TableName=table)["Items"]
        return found

    def holds(self, *words: str) -> list[dict[str, int]]:
        """How many items, objects and dead letters hold each word."""
        s3, bucket = self.session.client("s3"), self.place.outputs["BucketName"]
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        objects = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
        sqs = self.session.client("sqs")
        letters = [letter for queue in self.place.queues for letter in redrive.receive_all(sqs, queue)]
        redrive.give_back(sqs, letters)
        everything = {
            "items": [json.dumps(item) for item in self.items()], "objects": objects,
            "letters": [letter.body for letter in letters],
        }  # fmt: skip
        return [{kind: sum(word in text for text in texts) for kind, texts in everything.items()} for word in words]

    def records(self, user: str = USER) -> list[Any]:
        return records(self.session.client("dynamodb"), self.place.table, user)

    def kept(self, user: str = USER) -> list[str]:
        """The sort keys of the user's own items."""
        return [item["sk"]["S"] for item in self.items() if item["pk"]["S"] == user_partition(user)]

    def turns_taken(self, user: str) -> int:
        """How many turns in progress are on the user's account today."""
        (day,) = [
            item for item in self.items() if item["pk"]["S"] == user_partition(user) and "DAY#" in item["sk"]["S"]
        ]
        return len(day.get("turns", {"SS": []})["SS"])

    @functools.cached_property
    def place(self) -> Place:
        return Place(self.session, "local")

    def forget(self, user: str = USER, *, later: float = 0.0, remove: bool = True) -> Forgetting:
        work = Forgetting(self.place, user, remove=remove, tell=lambda text: None, clock=lambda: time.time() + later)
        work.run("the owner")
        return work
