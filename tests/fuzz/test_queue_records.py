"""Records that nobody of ours wrote, in every queue: each fails alone, is counted, and harms no conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.stand_in.sqs import UNSENDABLE
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
    letters = front.waiting("inbox-dead.fifo")
    _, failed = front.run("think")
    counted = front.telemetry.counts - before
    assert counted["RecordsFailed"] == front.parts.patience.records * failed
    assert front.waiting("inbox-dead.fifo") == letters + failed
    talk.goes_on()


@bounded(50)
@given(records(OUTGOING))
def test_a_record_in_the_outbox_harms_no_conversation(front: Front, body: str) -> None:
    talk = Talk(front)
    front.finish(talk.call, json.dumps(ANSWER).encode())
    assert front.run("reply") == (1, 0)
    before = front.telemetry.counts.copy()
    front.put("outbox.fifo", of(body, talk), "garbage")
    letters = front.waiting("outbox-dead.fifo")
    _, failed = front.run("deliver")
    counted = front.telemetry.counts - before
    assert counted["RecordsFailed"] == front.parts.patience.records * failed
    assert front.waiting("outbox-dead.fifo") == letters + failed + counted["Undeliverable"]
    for message in talk.channels.poster.posted:
        assert isinstance(message["text"], str)
    talk.goes_on()


QUEUES = {"think": "inbox", "deliver": "outbox"}


@pytest.mark.parametrize("stage", QUEUES)
def test_garbage_goes_to_the_dead_letters_and_holds_up_its_own_group_only(front: Front, stage: str) -> None:
    name, dead = f"{QUEUES[stage]}.fifo", f"{QUEUES[stage]}-dead.fifo"
    good = json.dumps({"think": {**INCOMING, "conversation": "slack:T1:C9"}, "deliver": OUTGOING}[stage])
    letters = front.waiting(dead)
    for body, group in (("{", "broken"), (good, "sound"), (good, "broken")):
        front.put(name, body, group)
    assert front.run(stage) == (3, 1)
    assert front.waiting(dead) == letters + 1
