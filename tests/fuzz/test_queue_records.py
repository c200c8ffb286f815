"""Records that nobody of ours wrote, in every queue: each fails alone, is counted, and harms no conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from scripts.local.event_pump import EventSource, deliver_batch
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.sqs import UNSENDABLE, PumpQueue
from tests.channels.hostile_json import ANYTHING
from tests.fuzz.bodies import BYTES, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Front
from tests.fuzz.talks import ANSWER, Talk

INCOMING = {
    "v": 1, "kind": "message", "event": "e", "conversation": "c", "bot": "default", "user": "slack:T1:U1",
    "text": "hello", "received": 1.5, "trace": "t", "reply_to": {"channel": "C1", "thread_ts": "1.1"},
    "preface": [{"role": "system", "text": "Be kind."}], "options": {"temperature": 0.5}, "details": {"model": "m"},
}  # fmt: skip
CANCEL = {"v": 1, "kind": "cancel", "id": "i", "conversation": "c", "trace": "t", "turn": 1, "event": None}
OUTGOING = {
    "v": 1, "kind": "outgoing", "conversation": "c", "turn": 1, "bot": "default", "text": "Hi.", "trace": "t",
    "reply_to": {"channel": "C1"},
}  # fmt: skip


def records(document: dict[str, Any]) -> st.SearchStrategy[str]:
    """What a queue may hold in the place of a record: text only, and not none."""
    one_field = st.tuples(st.sampled_from(sorted(document)), ANYTHING).map(
        lambda change: json.dumps({**document, change[0]: change[1]})
    )
    anything = hostile(document) | BYTES
    sendable = anything.map(lambda raw: UNSENDABLE.sub(" ", raw.decode(errors="replace")))
    return (one_field | sendable).filter(bool)


def of(body: str, talk: Talk) -> str:
    """The record, about this conversation where it names one."""
    return body.replace('"conversation": "c"', f'"conversation": "{talk.id}"')


@bounded(100)
@given(records(INCOMING) | records(CANCEL))
def test_a_record_in_the_inbox_harms_no_conversation(front: Front, body: str) -> None:
    talk = Talk(front)
    before = front.telemetry.counts.copy()
    front.put("inbox.fifo", of(body, talk))
    _, failed = front.run("think")
    assert (front.telemetry.counts - before)["RecordsFailed"] == failed
    talk.goes_on()


@bounded(50)
@given(records(OUTGOING))
def test_a_record_in_the_outbox_harms_no_conversation(front: Front, body: str) -> None:
    talk = Talk(front)
    front.finish(talk.call, json.dumps(ANSWER).encode())
    assert front.run("reply") == (1, 0)
    before = front.telemetry.counts.copy()
    front.put("outbox.fifo", of(body, talk), "garbage")
    _, failed = front.run("deliver")
    assert (front.telemetry.counts - before)["RecordsFailed"] == failed
    for message in talk.channels.poster.posted:
        assert isinstance(message["text"], str)
    talk.goes_on()


QUEUES = {"think": "inbox", "deliver": "outbox"}


@pytest.mark.parametrize("stage", QUEUES)
def test_garbage_goes_to_the_dead_letters_and_holds_up_its_own_group_only(front: Front, stage: str) -> None:
    sqs, name, dead = front.parts.sqs, f"{QUEUES[stage]}.fifo", f"{QUEUES[stage]}-dead.fifo"
    sqs.create(dead)
    sqs.create(name, visibility=0.0, most_receives=5, dead_letters=dead)
    good = json.dumps({"think": {**INCOMING, "conversation": "slack:T1:C9"}, "deliver": OUTGOING}[stage])
    front.put(name, "{", "broken")
    front.put(name, good, "sound")
    source = EventSource(PumpQueue(sqs, name), getattr(app, stage), lambda: LambdaContext(stage, 30, 512, "us-east-1"))

    def receive() -> int:
        found = sqs.receive_message(QueueUrl=name, MaxNumberOfMessages=10).get("Messages", [])
        return len(deliver_batch(source, found))

    assert receive() == 1, "what is in the same batch is handled at once"
    for _ in range(6):
        receive()
    assert (sqs.size(name), sqs.size(dead)) == (0, 1)
    front.put(name, good, "broken")
    assert receive() == 1, "the group goes on"
