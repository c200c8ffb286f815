"""The state machine by itself: what each event makes of each state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from parley.domain import conversation as rules
from parley.domain.conversation import Change, Conversation, Status
from parley.domain.message import Incoming, conversation_key
from parley.domain.turn import Ask, ModelReply, Patience, TurnStatus
from parley.errors import StaleResult

PATIENCE = Patience()


def incoming(event: str, text: str = "hello", conversation: str = "slack:T:C", user: str = "slack:T:U") -> Incoming:
    return Incoming(event, conversation, "default", user, text, 1.0, f"trace-{event}")


def opened() -> Conversation:
    return rules.accept(None, incoming("e1"), "r1", 10.0, PATIENCE).after


def test_the_first_message_makes_the_conversation_and_opens_turn_one() -> None:
    change = rules.accept(None, incoming("e1", "  What   is\nParley? "), "r1", 10.0, PATIENCE)
    after = change.after
    assert change.before == 0
    assert (after.version, after.status, after.turn, after.step, after.sequence) == (1, Status.THINKING, 1, 1, 1)
    assert after.title == "What is Parley?"
    assert change.opened is not None
    assert change.opened.deadline == 10.0 + PATIENCE.answer
    assert change.ask == Ask("slack:T:C", 1, 1, 1, "trace-e1")


def test_a_long_first_message_makes_a_short_title() -> None:
    title = rules.accept(None, incoming("e1", "word " * 50), "r1", 10.0, PATIENCE).after.title
    assert len(title) <= 60
    assert title.endswith("…")


def test_a_message_while_thinking_is_pending_and_asks_nothing() -> None:
    change = rules.accept(opened(), incoming("e2"), "r2", 11.0, PATIENCE)
    assert (change.after.pending, change.after.turn, change.ask, change.opened) == (1, 1, None, None)
    assert change.messages[0].turn == 2


def test_who_writes_in_a_conversation_that_another_user_began_is_its_guest() -> None:
    change = rules.accept(opened(), incoming("e2", user="slack:T:V"), "r2", 11.0, PATIENCE)
    assert (change.guest, change.after.user) == ("slack:T:V", "slack:T:U")
    assert rules.accept(change.after, incoming("e3"), "r3", 12.0, PATIENCE).guest is None


def test_the_next_turn_carries_the_trace_of_the_newest_waiting_message() -> None:
    waiting = rules.accept(opened(), incoming("e2"), "r2", 11.0, PATIENCE).after
    change = rules.answer(waiting, 1, 1, ModelReply("hi"), "n1", 12.0, PATIENCE)
    assert change.ask == Ask("slack:T:C", 2, 1, 1, "trace-e2")
    assert change.after.asked_by == "n1"
    assert change.say is not None
    assert change.say.trace == "trace-e1"


@pytest.mark.parametrize(("turn", "step"), [(0, 1), (1, 2), (2, 1), (1, 0)])
def test_a_result_for_another_turn_or_step_is_stale(turn: int, step: int) -> None:
    with pytest.raises(StaleResult):
        rules.answer(opened(), turn, step, ModelReply("hi"), "n", 12.0, PATIENCE)


def test_nothing_ends_a_turn_of_an_idle_conversation() -> None:
    idle = rules.answer(opened(), 1, 1, ModelReply("hi"), "n", 12.0, PATIENCE).after
    attempts: list[Callable[[], Change]] = [
        lambda: rules.answer(idle, 1, 1, ModelReply("hi"), "n", 13.0, PATIENCE),
        lambda: rules.fail(idle, "e", "n", "r", 13.0, PATIENCE),
        lambda: rules.cancel(idle, 1, "r", 13.0, PATIENCE),
        lambda: rules.retry(idle, "r", 13.0, PATIENCE),
    ]
    for attempt in attempts:
        with pytest.raises(StaleResult):
            attempt()


def test_every_change_raises_the_version_by_one() -> None:
    first = opened()
    for change in (
        rules.accept(first, incoming("e2"), "r", 11.0, PATIENCE),
        rules.answer(first, 1, 1, ModelReply("hi"), "n", 11.0, PATIENCE),
        rules.fail(first, "e", "notice", "r", 11.0, PATIENCE),
        rules.cancel(first, 1, "r", 11.0, PATIENCE),
        rules.retry(first, "r", 11.0, PATIENCE),
    ):
        assert isinstance(change, Change)
        assert change.before == first.version
        assert change.after.version == first.version + 1


def test_a_retry_has_a_name_of_its_own_and_a_new_deadline() -> None:
    first = opened()
    change = rules.retry(first, "r", 100.0, PATIENCE)
    assert change.ask is not None
    assert change.ask.inference_id != first.ask().inference_id
    assert change.updated is not None
    assert change.updated.deadline == 100.0 + PATIENCE.answer


def test_a_failed_turn_keeps_the_reason_and_tells_the_user() -> None:
    change = rules.fail(opened(), "500 from model", "Sorry.", "r", 12.0, PATIENCE)
    assert change.updated is not None
    assert (change.updated.status, change.updated.error) == (TurnStatus.FAILED, "500 from model")
    assert change.say is not None
    assert change.say.text == "Sorry."


def test_names_repeat_and_fit_where_they_go() -> None:
    ask = Ask("slack:" + "x" * 400, 123_456, 9, 3, "t")
    assert ask.inference_id == Ask(ask.conversation, 123_456, 9, 3, "other").inference_id
    assert len(ask.inference_id) <= 64
    assert conversation_key("a") != conversation_key("b")
    assert not Ask("c", 1, 1, 10, "t").path.startswith(Ask("c", 1, 1, 1, "t").path)
