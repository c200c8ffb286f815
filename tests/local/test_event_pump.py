"""The pump reads partial batch answers as Lambda does, and its events are Lambda's."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from chalice.app import Chalice

from scripts.local.event_pump import (
    EventPump,
    EventSource,
    Schedule,
    batch_sizes,
    deliver_batch,
    failed_message_ids,
    scheduled_event,
    sqs_record,
)
from scripts.local.lambda_context import LambdaContext
from tests.local.processes import wait_until


class MemoryQueue:
    """An EventQueue of fixed messages; each is given out once."""

    arn = "arn:aws:sqs:eu-west-1:123456789012:inbox.fifo"
    region = "eu-west-1"

    def __init__(self, *bodies: str) -> None:
        self.waiting = [message(body) for body in bodies]
        self.deleted: list[str] = []
        self._lock = threading.Lock()

    def receive(self, count: int) -> list[dict[str, Any]]:
        with self._lock:
            taken, self.waiting = self.waiting[:count], self.waiting[count:]
        if not taken:
            threading.Event().wait(0.01)
        return taken

    def delete(self, receipt_handles: list[str]) -> None:
        with self._lock:
            self.deleted += receipt_handles


def message(body: str) -> dict[str, Any]:
    return {
        "MessageId": f"id-{body}",
        "ReceiptHandle": f"handle-{body}",
        "Body": body,
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g", "SequenceNumber": "7"},
        "MessageAttributes": {"trace": {"DataType": "String", "StringValue": "t1"}},
    }


def context() -> LambdaContext:
    return LambdaContext("think", 30, 512, "eu-west-1")


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, {"b"}),
        ({"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "b"}]}, {"b"}),
        ({"batchItemFailures": [{"itemIdentifier": "x"}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, {"a", "b"}),
        ({"batchItemFailures": [{"wrongKey": "b"}]}, {"a", "b"}),
        ({"batchItemFailures": ["b"]}, {"a", "b"}),
        ({"batchItemFailures": "b"}, {"a", "b"}),
        ("text", {"a", "b"}),
        ([], {"a", "b"}),
    ],
)
def test_batch_answers_are_read_as_lambda_reads_them(answer: Any, failed: set[str]) -> None:
    assert failed_message_ids(answer, ["a", "b"]) == failed


def test_only_the_finished_messages_of_a_batch_are_deleted() -> None:
    queue = MemoryQueue()
    source = EventSource(queue, lambda event, _: {"batchItemFailures": [{"itemIdentifier": "id-two"}]}, context)
    assert deliver_batch(source, [message("one"), message("two"), message("three")]) == ["id-one", "id-three"]
    assert queue.deleted == ["handle-one", "handle-three"]


def test_a_handler_that_raises_fails_its_whole_batch() -> None:
    queue = MemoryQueue()

    def handler(event: dict[str, Any], _: Any) -> None:
        raise RuntimeError("broken")

    assert deliver_batch(EventSource(queue, handler, context), [message("one")]) == []
    assert queue.deleted == []


def test_a_record_has_every_field_of_lambdas_sqs_event() -> None:
    assert sqs_record(message("hello"), MemoryQueue()) == {
        "messageId": "id-hello",
        "receiptHandle": "handle-hello",
        "body": "hello",
        "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g", "SequenceNumber": "7"},
        "messageAttributes": {
            "trace": {
                "stringValue": "t1",
                "binaryValue": None,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
        },
        "md5OfBody": "md5",
        "eventSource": "aws:sqs",
        "eventSourceARN": MemoryQueue.arn,
        "awsRegion": "eu-west-1",
    }


def test_stopping_lets_running_invocations_finish_and_begins_no_other() -> None:
    queue = MemoryQueue(*(str(number) for number in range(25)))
    began, may_end = threading.Event(), threading.Event()

    def handler(event: dict[str, Any], _: Any) -> None:
        began.set()
        assert may_end.wait(10)

    pump = EventPump([EventSource(queue, handler, context, pollers=1)])
    pump.start()
    assert began.wait(10)
    assert pump.stop(0.01) is False
    may_end.set()
    assert pump.stop(10) is True
    assert len(queue.deleted) == 10


def test_a_queue_that_cannot_be_read_is_asked_again() -> None:
    class Unsteady(MemoryQueue):
        failures = 2

        def receive(self, count: int) -> list[dict[str, Any]]:
            if self.failures:
                self.failures -= 1
                raise ConnectionError("refused")
            return super().receive(count)

    queue = Unsteady("late")
    pump = EventPump([EventSource(queue, lambda event, _: None, context, pollers=1)])
    pump.start()
    wait_until(lambda: queue.deleted == ["handle-late"])
    assert pump.stop(5)


def test_the_schedule_sends_eventbridges_event() -> None:
    events: list[dict[str, Any]] = []
    schedule = Schedule(lambda event, _: events.append(event), context, "eu-west-1", 0.01)
    schedule.start()
    wait_until(lambda: len(events) > 1)
    assert schedule.stop(5)
    assert events[0].keys() == scheduled_event("eu-west-1").keys()
    assert events[0]["detail-type"] == "Scheduled Event"
    assert events[0]["source"] == "aws.events"


def test_the_context_counts_its_remaining_time_down() -> None:
    made = context()
    first = made.get_remaining_time_in_millis()
    assert 29_000 < first <= 30_000
    wait_until(lambda: made.get_remaining_time_in_millis() < first)
    assert LambdaContext("think", 0, 128, "eu-west-1").get_remaining_time_in_millis() == 0
    assert made.invoked_function_arn == "arn:aws:lambda:eu-west-1:123456789012:function:parley-think"


def test_a_call_gets_at_most_the_batch_that_the_application_names() -> None:
    app = Chalice(app_name="small")
    app.on_sqs_message(queue="outbox", batch_size=3, name="deliver")(lambda event: None)
    app.schedule("rate(1 minute)", name="sweep")(lambda event: None)
    sizes = batch_sizes(app)
    assert sizes == {"deliver": 3}
    batches: list[int] = []
    queue = MemoryQueue(*(str(number) for number in range(7)))
    source = EventSource(
        queue, lambda event, _: batches.append(len(event["Records"])), context, pollers=1, batch_size=sizes["deliver"]
    )
    pump = EventPump([source])
    pump.start()
    wait_until(lambda: len(queue.deleted) == 7)
    assert pump.stop(5)
    assert batches == [3, 3, 1]
