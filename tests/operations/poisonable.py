"""The deployed functions, driven record by record, over moto or over the stand-ins, for the tests of poison."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Protocol

import pytest

import app
from chalicelib import records, wiring
from scripts.local.event_pump import EventSource, deliver_batch, scheduled_event
from scripts.local.gateway import Gateway
from scripts.local.http_server import HttpRequest
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.runtime import QUEUES, REGION, StandInWiring
from scripts.local.stand_in.sqs import PumpQueue
from scripts.operations import redrive
from scripts.operations.place import Queue
from tests.deployment.recorded_system import RecordedSystem
from tests.deployment.slack_user import SIGNING_SECRET, TOKEN, say, webhook
from tests.operations.conftest import Run

STAGES = {"think": "Inbox", "reply": "Replies", "deliver": "Outbox"}
DEAD = {"inbox": "inbox-dead.fifo", "replies": "replies-dead", "outbox": "outbox-dead.fifo"}


class Poisonable(Protocol):
    """What both can do."""

    def say(self, text: str) -> None:
        """A user writes on Slack, in the one thread."""

    def work(self, function: str) -> None:
        """Hand what is in a function's queue to it; what fails can be received again at once."""

    def sweep(self) -> None:
        """The schedule's minute."""

    def pass_time(self, seconds: float) -> None:
        """The clock that the stages read moves on."""

    def calls(self) -> int:
        """How often the model was called."""

    def answer(self, text: str, *, inline: bool = True, kept: bool = True, notify: bool = True) -> None:
        """The model is done with its newest call; `kept` False: the bucket does not have the result any more."""

    def fail(self, reason: str) -> None:
        """The model gives its newest call up."""

    def put(self, queue: str, body: str) -> None:
        """Somebody else's record reaches a queue, in the thread's group where there are groups."""

    def at_rest(self) -> bool:
        """Whether the queues are empty."""

    def open_turns(self) -> bool:
        """Whether a turn still owes something."""

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, as `scripts/redrive list --json` tells of them."""

    def replay(self) -> None:
        """`scripts/redrive replay --all`."""


class OverMoto:
    """The recorded system of the deployment's tests, with the owner's real command."""

    def __init__(self, system: RecordedSystem, run: Run) -> None:
        self._system = system
        self._run = run
        self._sqs = system.outside.client("sqs")

    def say(self, text: str) -> None:
        say(self._system, text)

    def work(self, function: str) -> None:
        self._system.work(function, STAGES[function])

    def sweep(self) -> None:
        self._system.sweep()

    def pass_time(self, seconds: float) -> None:
        self._system.pass_time(seconds)

    def calls(self) -> int:
        return sum(call.operation == "InvokeEndpointAsync" for call in self._system.calls)

    def answer(self, text: str, *, inline: bool = True, kept: bool = True, notify: bool = True) -> None:
        self._system.answer(text, inline=inline, notify=notify)
        if not kept:
            bucket = self._system.deployment.resources["Bucket"].ref
            place = f"model/out/{self._system.asked().parameters['S3OutputPathExtension']}/result.out"
            self._system.outside.client("s3").delete_object(Bucket=bucket, Key=place)

    def fail(self, reason: str) -> None:
        self._system.fail(reason)

    def put(self, queue: str, body: str) -> None:
        order = {} if queue == "Replies" else {"MessageGroupId": "g", "MessageDeduplicationId": str(time.time())}
        self._sqs.send_message(QueueUrl=self._system.deployment.resources[queue].ref, MessageBody=body, **order)

    def at_rest(self) -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        urls = [self._system.deployment.resources[queue].ref for queue in STAGES.values()]
        found = [self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
        return not any(int(count) for attributes in found for count in attributes.values())

    def open_turns(self) -> bool:
        table = self._system.deployment.resources["Table"].ref
        return bool(self._system.outside.client("dynamodb").scan(TableName=table, IndexName="open-turns")["Items"])

    def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._run(redrive.main, "list", "--json")[1])
        return found

    def replay(self) -> None:
        assert self._run(redrive.main, "replay", "--all")[0] == 0


class OverStandIns:
    """The same functions over the stand-ins, with redrive's own functions in place of its command line."""

    def __init__(self, slack_url: str) -> None:
        secret = {"signing_secret": SIGNING_SECRET, "bot_token": TOKEN, "api_url": slack_url}
        self.late = 0.0
        self.parts = StandInWiring(secrets={"bots/default/slack": secret}, wait_seconds=0, clock=self.clock)
        self.parts.endpoint.stop()
        self.parts.endpoint = self  # type: ignore[assignment]
        self._asked: list[dict[str, Any]] = []
        self._gateway = Gateway(app.app, lambda: LambdaContext("api_handler", 29, 512, REGION))

    def clock(self) -> float:
        """Epoch seconds, as moved."""
        return time.time() + self.late

    def invoke_endpoint_async(self, **request: Any) -> None:
        """The model's endpoint: keeps the call."""
        self._asked.append(request)

    def asked(self) -> dict[str, Any]:
        """The newest request to the model."""
        request: dict[str, Any] = json.loads(self._asked[-1]["Body"])
        return request

    def say(self, text: str) -> None:
        body, headers = webhook(text)
        sent = [("Content-Type", "application/json"), *headers.items()]
        answer = self._gateway.handle(HttpRequest("POST", "/webhooks/slack/default", sent, body, "127.0.0.1"))
        assert answer.status == 200

    def work(self, function: str) -> None:
        sqs, name = self.parts.sqs, QUEUES[function]
        source = EventSource(PumpQueue(sqs, name), getattr(app, function), lambda: self._context(function))
        found = sqs.receive_message(QueueUrl=name, MaxNumberOfMessages=10).get("Messages", [])
        done = deliver_batch(source, found) if found else []
        for record in found:
            if record["MessageId"] not in done:
                sqs.change_message_visibility(QueueUrl=name, ReceiptHandle=record["ReceiptHandle"], VisibilityTimeout=0)

    def sweep(self) -> None:
        app.sweep(scheduled_event(REGION), self._context("sweep"))

    def pass_time(self, seconds: float) -> None:
        self.late += seconds

    def calls(self) -> int:
        return len(self._asked)

    def answer(self, text: str, *, inline: bool = True, kept: bool = True, notify: bool = True) -> None:
        completion = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        content = json.dumps(completion).encode()
        place = f"model/out/{self._asked[-1]['S3OutputPathExtension']}/result.out"
        if kept:
            self.parts.bucket.put_object(Bucket="bucket", Key=place, Body=content)
        told: dict[str, Any] = {
            "invocationStatus": "Completed", "responseParameters": {"outputLocation": f"s3://bucket/{place}"},
        }  # fmt: skip
        if inline:
            told["responseBody"] = {"content": base64.b64encode(content).decode(), "encoding": "BASE64"}
        if notify:
            self._notify(told)

    def fail(self, reason: str) -> None:
        self._notify({"invocationStatus": "Failed", "failureReason": reason})

    def put(self, queue: str, body: str) -> None:
        name = {"Inbox": "inbox.fifo", "Replies": "replies", "Outbox": "outbox.fifo"}[queue]
        self.parts.sqs.send_message(
            QueueUrl=name, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=str(time.time())
        )

    def at_rest(self) -> bool:
        return not any(self.parts.sqs.size(name) for name in QUEUES.values())

    def open_turns(self) -> bool:
        return bool(self.parts.conversations.overdue(float("inf"), 1))

    def letters(self) -> list[dict[str, Any]]:
        found = self._received()
        redrive.give_back(self.parts.sqs, found)
        return [letter.describe(whole=True) for letter in found]

    def replay(self) -> None:
        for letter in self._received():
            redrive.replay(letter, self.parts.conversations, self.parts.sqs)

    def _received(self) -> list[redrive.Letter]:
        live = {"inbox": "inbox.fifo", "replies": "replies", "outbox": "outbox.fifo"}
        queues = [Queue(name, live[name], dead) for name, dead in DEAD.items()]
        return [letter for queue in queues for letter in redrive.receive_all(self.parts.sqs, queue)]

    def _notify(self, fields: dict[str, Any]) -> None:
        given = {"requestParameters": {"customAttributes": self._asked[-1]["CustomAttributes"]}}
        self.parts.sqs.send_message(QueueUrl="replies", MessageBody=json.dumps({**fields, **given}))

    def _context(self, function: str) -> LambdaContext:
        return LambdaContext(function, 60, 512, REGION)


@contextmanager
def over_stand_ins(slack_url: str) -> Iterator[OverStandIns]:
    """The functions of this process on the stand-ins, with a clock that moves."""
    system = OverStandIns(slack_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "time", SimpleNamespace(time=system.clock))
        wiring.use(system.parts)
        try:
            yield system
        finally:
            wiring.use(wiring.Wiring())
