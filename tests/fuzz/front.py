"""The deployed handlers in one thread, over stand-ins as strict as AWS: what a stranger sends, and what comes of it."""

from __future__ import annotations

import importlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chalicelib import wiring
from parley.aws.telemetry import PowertoolsTelemetry
from parley.backends.sagemaker_async import SagemakerAsync
from scripts.local.endpoint_notifications import notification
from scripts.local.event_pump import EventSource, deliver_batch
from scripts.local.gateway import Gateway
from scripts.local.http_server import HttpRequest
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.endpoint import job_of
from scripts.local.stand_in.runtime import QUEUES, StandInWiring
from scripts.local.stand_in.sqs import PumpQueue
from tests.fuzz.aws_limits import StrictTable

TRACES = ("Traceback", 'File "', ".py:", "RecursionError", "UnicodeEncodeError")
"""What an answer shows when it shows too much."""


class CountingTelemetry(PowertoolsTelemetry):
    """The real one, whose counts tests can read."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def count(self, metric: str, value: float = 1, unit: str = "Count") -> None:
        self.counts[metric] += int(value)
        super().count(metric, value, unit)


class Calls:
    """The clients `sagemaker-runtime` and `sagemaker`: keep what they were asked; the model is asleep."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        assert request["CustomAttributes"].isascii()
        assert len(request["CustomAttributes"]) <= 1024
        self.asked.append(request)
        return {}

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        return {"ProductionVariants": [{"CurrentInstanceCount": 0}]}


@dataclass(frozen=True)
class Answer:
    """What came back, and what was counted on the way."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    counted: Counter[str]

    def is_clean(self) -> bool:
        """Whether it is text that tells nothing of the code behind it."""
        shown = self.body.decode()
        return not any(trace in shown for trace in TRACES)

    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class Front:
    """One deployment. Its model answers when the test says so; a call that would wait for that comes back at once."""

    def __init__(self, secrets: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.parts = StandInWiring(secrets=secrets, wait_seconds=0)
        for name, dead in (("inbox.fifo", "inbox-dead.fifo"), ("outbox.fifo", "outbox-dead.fifo")):
            self.parts.sqs.create(name, 0.0, 8, dead)
        self.parts.sqs.create("replies", 0.0, 8, "replies-dead")
        self.parts.conversations = StrictTable()
        self.telemetry = self.parts.telemetry = CountingTelemetry()
        self.calls = Calls()
        self.parts.backend = SagemakerAsync(self._client, "parley", "bucket", time.time, 1800)
        self._app = importlib.import_module("app")
        self._gateway = Gateway(self._app.app, lambda: _context("api_handler"))

    @contextmanager
    def running(self) -> Iterator[Front]:
        """The front, in the place of whatever the process ran on."""
        wiring.use(self.parts)
        try:
            yield self
        finally:
            self.parts.endpoint.stop()
            wiring.use(wiring.Wiring())

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer to one request, behind the local API Gateway."""
        before = self.telemetry.counts.copy()
        answer = self._gateway.handle(HttpRequest(method, target, list(headers.items()), body, "127.0.0.1"))
        return Answer(answer.status, dict(answer.headers), answer.body, self.telemetry.counts - before)

    def waiting(self, queue: str = "inbox.fifo") -> int:
        """How many records a queue holds."""
        return self.parts.sqs.size(queue)

    def run(self, stage: str) -> tuple[int, int]:
        """Hand a stage all that waits, as Lambda would, until nothing does; how many records, how many of them failed.

        One that fails comes again at once, until it is given up or the queue moves it to its dead letters.
        """
        source = EventSource(_NoWait(self.parts.sqs, QUEUES[stage]), getattr(self._app, stage), lambda: _context(stage))
        before = self.telemetry.counts["RecordsGivenUp"]
        seen: set[str] = set()
        done: set[str] = set()
        while records := source.queue.receive(10):
            seen |= {record["MessageId"] for record in records}
            done |= set(deliver_batch(source, records))
        return len(seen), len(seen - done) + self.telemetry.counts["RecordsGivenUp"] - before

    def put(self, queue: str, body: str, group: str = "g") -> None:
        """Anything at all into a queue."""
        name = str(time.perf_counter_ns())
        self.parts.sqs.send_message(QueueUrl=queue, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=name)

    def request(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """What the model is asked, sent along or laid into the bucket."""
        place = call.get("InputLocation", "").removeprefix("s3://bucket/")
        body = call.get("Body") or self.parts.bucket.get_object(Bucket="bucket", Key=place)["Body"].read()
        asked: dict[str, Any] = json.loads(body)
        return asked

    def finish(self, call: Mapping[str, Any], payload: bytes) -> None:
        """The model's answer to one of `calls.asked` reaches the replies queue."""
        text = notification(job_of(dict(call)), "us-east-1", "Completed", content=payload, content_type="text/json")
        if "responseBody" not in json.loads(text):
            place = "s3://bucket/model/out/large.out"
            self.parts.bucket.put_object(Bucket="bucket", Key="model/out/large.out", Body=payload)
            text = notification(job_of(dict(call)), "us-east-1", "Completed", content=payload, output_location=place)
        self.put("replies", text)

    def _client(self, service: str) -> Any:
        return self.parts.bucket if service == "s3" else self.calls


class _NoWait(PumpQueue):
    """A queue that says at once that it is empty."""

    def receive(self, count: int) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=count).get(
            "Messages", []
        )
        return messages


def _context(function: str) -> LambdaContext:
    return LambdaContext(function, 30, 512, "us-east-1")
