"""Whatever the model writes: the turn is answered, tried again or failed with a notice, and never stuck."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.channels.hostile_json import ANYTHING
from tests.fuzz.bodies import TEXTS, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Front
from tests.fuzz.talks import ANSWER, Talk

NUMBERS = st.sampled_from([-1, 2**53, 2**63, 10**126, 10**400, 1e999, 1.5, True, "5"])


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A completion of which one member is not as the protocol has it."""
    answer: Any = copy.deepcopy(ANSWER)
    choice = answer["choices"][0]
    change = draw(st.sampled_from(["text", "finish", "usage", "parley", "role"]))
    if change == "text":
        choice["message"]["content"] = draw(TEXTS | ANYTHING)
    elif change == "finish":
        choice["finish_reason"] = draw(TEXTS | ANYTHING | st.just("y" * 500_000))
    elif change == "usage":
        answer["usage"] = draw(st.dictionaries(TEXTS | st.sampled_from(sorted(ANSWER["usage"])), NUMBERS | ANYTHING))
    elif change == "parley":
        answer["parley"] = draw(st.dictionaries(st.just("dropped_messages"), NUMBERS | ANYTHING) | ANYTHING)
    else:
        choice["message"] = draw(ANYTHING)
    return json.dumps(answer).encode()


def ends_soundly(front: Front, payload: bytes) -> None:
    """The output comes back; whatever it is, the record does not fail, and the conversation goes on."""
    talk = Talk(front)
    asked = len(front.calls.asked)
    front.finish(talk.call, payload)
    assert front.run("reply") == (1, 0)
    assert front.run("deliver")[1] == 0
    if talk.state.status == "idle":
        assert talk.turn.status == "delivered"
        assert len(talk.channels.poster.posted) >= 1
    else:
        assert len(front.calls.asked) == asked + 1, "it is tried again"
    talk.goes_on()


@bounded(80)
@given(hostile(ANSWER) | st.integers(0, len(json.dumps(ANSWER))).map(lambda end: json.dumps(ANSWER).encode()[:end]))
def test_output_of_any_kind_ends_soundly(front: Front, payload: bytes) -> None:
    ends_soundly(front, payload)


@bounded(80)
@given(spoilt())
def test_a_member_of_any_kind_ends_soundly(front: Front, payload: bytes) -> None:
    ends_soundly(front, payload)


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "𝒳" * 120_000, "\uffff" * 40_000, "*" * 60_000, "\n" * 90_000 + "x"]
)
def test_output_of_any_size_ends_soundly(front: Front, text: str) -> None:
    answer: Any = copy.deepcopy(ANSWER)
    answer["choices"][0]["message"]["content"] = text
    ends_soundly(front, json.dumps(answer, ensure_ascii=False).encode())


def test_output_that_never_is_one_fails_with_a_notice(front: Front) -> None:
    talk = Talk(front)
    for _ in range(front.parts.patience.attempts):
        front.finish(talk.call, b"\xff not JSON")
        assert front.run("reply") == (1, 0)
    assert talk.turn.status == "failed"
    assert front.run("deliver") == (1, 0)
    (notice,) = talk.channels.poster.posted
    assert notice["text"] == talk.turn.notice
    talk.goes_on()
