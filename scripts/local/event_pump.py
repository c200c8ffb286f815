"""Lambda's event sources on one machine: queues polled into real SQS events, and a schedule.

Honours partial batch failures exactly as Lambda's SQS event source mapping does. Takes queues through a
small interface and knows neither boto3 nor what the handlers do.
"""

from __future__ import annotations

import hashlib
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from scripts.local.lambda_context import ACCOUNT, LambdaContext

FAILED_RECEIVE_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # waits after receives that failed one after another

Handler = Callable[[dict[str, Any], Any], Any]
Record = dict[str, Any]


class EventQueue(Protocol):
    """A queue as an event source sees it; ``SqsQueue`` is the real one."""

    arn: str
    region: str

    def receive(self, count: int) -> list[Record]:
        """Return up to ``count`` messages, shaped as boto3's ReceiveMessage gives them; may wait for one."""

    def delete(self, receipt_handles: list[str]) -> None:
        """Remove received messages; the others come back after their visibility timeout."""


@dataclass(frozen=True)
class EventSource:
    """One queue wired to one handler: how many pollers run side by side, and the context each call gets.

    ``batch_size`` is how many records one call gets at the most.
    """

    queue: EventQueue
    handler: Handler
    make_context: Callable[[], LambdaContext]
    pollers: int = 4
    batch_size: int = 10


def batch_sizes(app: Any) -> dict[str, int]:
    """Return the batch size that a Chalice application gives each function on a queue, by the function's name."""
    return {source.name: source.batch_size for source in app.event_sources if hasattr(source, "batch_size")}


class EventPump:
    """Polls every source in threads of its own until ``stop()``."""

    def __init__(self, sources: list[EventSource]) -> None:
        self._sources = sources
        self._stopping = threading.Event()
        self._busy = 0
        self._idle = threading.Condition()

    def start(self) -> None:
        """Start all pollers."""
        for source in self._sources:
            for _ in range(source.pollers):
                threading.Thread(target=self._poll, args=(source,), daemon=True).start()

    def stop(self, seconds: float) -> bool:
        """Begin nothing new and wait up to ``seconds`` for running invocations; returns whether all ended.

        Polls still waiting are left behind: what they might receive comes back after its visibility timeout.
        """
        self._stopping.set()
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, seconds)

    def _poll(self, source: EventSource) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                records = source.queue.receive(source.batch_size)
                failures = 0
            except Exception as error:
                print(f"event pump: cannot receive from {source.queue.arn}: {error}", flush=True)
                self._stopping.wait(FAILED_RECEIVE_SECONDS[min(failures, len(FAILED_RECEIVE_SECONDS) - 1)])
                failures += 1
                continue
            if records:
                self._work(source, records)

    def _work(self, source: EventSource, records: list[Record]) -> None:
        with self._idle:
            if self._stopping.is_set():
                return
            self._busy += 1
        try:
            deliver_batch(source, records)
        except Exception as error:
            print(f"event pump: cannot delete from {source.queue.arn}: {error}", flush=True)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()


def deliver_batch(source: EventSource, records: list[Record]) -> list[str]:
    """Invoke the handler with one batch and delete what it finished; returns the deleted message ids."""
    event = {"Records": [sqs_record(record, source.queue) for record in records]}
    try:
        answer = source.handler(event, source.make_context())
        failed = failed_message_ids(answer, [record["MessageId"] for record in records])
    except Exception:
        traceback.print_exc()
        failed = {record["MessageId"] for record in records}
    done = [record for record in records if record["MessageId"] not in failed]
    if done:
        source.queue.delete([record["ReceiptHandle"] for record in done])
    return [record["MessageId"] for record in done]


def failed_message_ids(answer: Any, sent: list[str]) -> set[str]:
    """Return which messages of a batch failed, by Lambda's reading of ``batchItemFailures``.

    Nothing, null or an empty list: none failed. A malformed answer, or an item identifier that is empty
    or not of this batch: all failed.
    """
    if answer is None:
        return set()
    if not isinstance(answer, dict):
        return set(sent)
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        return set(sent)
    identifiers = [entry.get("itemIdentifier") if isinstance(entry, dict) else None for entry in failures]
    known = {identifier for identifier in identifiers if isinstance(identifier, str) and identifier in sent}
    return known if all(identifier in known for identifier in identifiers) else set(sent)


def sqs_record(message: Record, queue: EventQueue) -> Record:
    """Return a message of ReceiveMessage as one record of Lambda's SQS event."""
    body = message["Body"]
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": body,
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {
            name: _message_attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message.get("MD5OfBody") or hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "awsRegion": queue.region,
    }


def _message_attribute(value: Record) -> Record:
    return {
        "stringValue": value.get("StringValue"),
        "binaryValue": value.get("BinaryValue"),
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }


class Schedule:
    """Invokes a handler with EventBridge's scheduled event every ``seconds`` until ``stop()``."""

    def __init__(
        self, handler: Handler, make_context: Callable[[], LambdaContext], region: str, seconds: float
    ) -> None:
        self._handler = handler
        self._make_context = make_context
        self._region = region
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start; the first event comes after one interval."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for a running invocation to end; returns whether it did."""
        self._stopping.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._handler(scheduled_event(self._region), self._make_context())
            except Exception:
                traceback.print_exc()


def scheduled_event(region: str) -> dict[str, Any]:
    """Return the event that an EventBridge schedule rule sends now."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/parley-sweep"],
        "detail": {},
    }
