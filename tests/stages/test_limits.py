"""Users of channels at their limits: nobody has more turns than allowed, and each is told once, whatever crashes."""

from __future__ import annotations

import re

import pytest

from parley.domain.limits import Limits, Policy
from parley.domain.turn import ModelReply, TurnStatus
from parley.envelopes import write_inbox
from parley.stages.inbox_to_model import think
from tests.stages.world import World

THREADS = [f"slack:T1:C1/{n}.0" for n in range(1, 9)]


def limited(**limits: int) -> World:
    return World(Policy(users=Limits(**limits)))


def told(world: World) -> list[str]:
    """The notices that the platform got, put together from their pieces."""
    texts: dict[str, str] = {}
    for channel, piece in world.platform.sent:
        texts[channel] = texts.get(channel, "") + piece
    return [text for text in texts.values() if not text.startswith("answer")]


def test_more_questions_than_a_minute_allows_end_with_one_notice() -> None:
    world = limited(requests_per_minute=3)
    for thread in THREADS:
        world.say(thread, "hello", thread)
    world.run_dry()
    assert len(world.model.asked) == 3
    assert len(told(world)) == 1
    assert "at most 3 questions a minute" in told(world)[0]
    turns = [turn for shelf in world.table.all().values() for turn in shelf.turns.values()]
    refused = [turn for turn in turns if turn.status is TurnStatus.FAILED]
    assert {turn.error for turn in refused} == {"over the limit of requests a minute"}
    assert len(refused) == 5
    assert all(turn.deadline is None for turn in turns)
    assert world.telemetry.counts["TurnsRefused"] == 5


def test_the_next_minute_is_another_one_and_so_is_another_user() -> None:
    world = limited(requests_per_minute=1)
    world.say("e1", "one", THREADS[0])
    world.say("e2", "two", THREADS[1])
    world.say("e3", "three", THREADS[2], user="slack:T1:U2")
    world.run_dry()
    assert len(world.model.asked) == 2
    world.pass_time(60)
    world.say("e4", "four", THREADS[1])
    world.run_dry()
    assert len(world.model.asked) == 3


def test_the_notice_speaks_the_users_language() -> None:
    world = limited(requests_per_minute=1)
    world.say("e1", "你好", THREADS[0])
    world.say("e2", "在吗？", THREADS[1])
    world.run_dry()
    assert told(world) == ["你问得太快了：每分钟最多 1 个问题。请过一分钟再问。"]


def test_so_many_turns_at_once_and_room_again_when_one_ends() -> None:
    world = limited(turns_at_once=2)
    for thread in THREADS[:4]:
        world.say(thread, "hello", thread)
    world.pump("inbox.fifo", 10)
    assert len(world.model.asked) == 2
    world.model.finish(world.model.asked[0][0], ModelReply("answer"))
    world.pump("replies")
    world.say("again", "hello again", THREADS[2])
    world.pump("inbox.fifo")
    assert len(world.model.asked) == 3


@pytest.mark.parametrize("end", ["cancel", "failure", "forget"])
def test_however_a_turn_ends_it_makes_room(end: str) -> None:
    world = limited(turns_at_once=1)
    world.say("e1", "hello", THREADS[0])
    world.pump("inbox.fifo")
    if end == "cancel":
        world.cancel(THREADS[0], turn=1)
        world.pump("inbox.fifo")
    elif end == "failure":
        world.model.finish(world.model.asked[0][0], ModelReply(error="no", permanent=True))
        world.pump("replies")
    else:
        world.table.forget(THREADS[0])
    world.say("e2", "and now?", THREADS[1])
    world.pump("inbox.fifo")
    assert len(world.model.asked) == 2


def test_a_day_has_so_many_tokens() -> None:
    world = limited(tokens_per_day=100)
    for number, thread in enumerate(THREADS[:4]):
        world.say(thread, "hello", thread)
        world.pump("inbox.fifo")
        if len(world.model.asked) > number:
            reply = ModelReply("answer", usage={"prompt_tokens": 30, "completion_tokens": 25, "compute_ms": 900})
            world.model.finish(world.model.asked[-1][0], reply)
        world.run_dry()
    assert len(world.model.asked) == 2, "the second turn began below the limit: it is over by what that took"
    assert re.search("today's share", told(world)[0])
    world.pass_time(24 * 3600)
    world.say("tomorrow", "hello", THREADS[0])
    world.pump("inbox.fifo")
    assert len(world.model.asked) == 3


def test_messages_that_wait_for_a_turn_cannot_go_past_a_limit_with_it() -> None:
    world = limited(requests_per_minute=1)
    for number in range(4):
        world.say(f"e{number}", f"message {number}", THREADS[0])
        world.pump("inbox.fifo")
    world.run_dry()
    assert len(world.model.asked) == 1
    sent = "".join(piece for _, piece in world.platform.sent)
    assert sent.startswith("answer to turn 1You write faster"), "the answer first, then the notice"


def test_a_message_that_comes_twice_is_counted_once() -> None:
    world = limited(requests_per_minute=2)
    for record, event, thread in (("r1", "e1", 0), ("r2", "e1", 0), ("r3", "e1", 0), ("r4", "e2", 1), ("r5", "e3", 2)):
        think(record, write_inbox(world.say(event, "hello", THREADS[thread])), world.now, world)
    assert [ask.conversation for ask, _ in world.model.asked] == THREADS[:2]


@pytest.mark.parametrize("waits", [False, True], ids=["opens a turn", "waits for one"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_run_that_dies_at_any_call_still_tells_the_user_without_the_sweep(side: str, waits: bool) -> None:
    died = refused = 0
    for call in range(1, 40):
        world = limited(requests_per_minute=1)
        world.say("e1", "one", THREADS[0])
        world.pump("inbox.fifo")
        world.say("e2", "two", THREADS[0] if waits else THREADS[1])
        if waits:
            world.pump("inbox.fifo")
        world.die_at = (len(world.steps) + call, side)
        world.everything_moves()
        world.run_dry()
        died += world.death != ""
        sent = "".join(piece for channel, piece in world.platform.sent if channel == THREADS[not waits])
        # A record comes again a minute later: what had not been refused by then is answered.
        refused += "at most 1 questions a minute" in sent
        assert sent.endswith(("in a minute.", f"answer to turn {2 if waits else 1}")), world.death
        assert not world.table.overdue(float("inf"), 1), world.death
    assert died >= 8
    assert refused >= 25


def test_a_notice_whose_run_died_goes_out_without_the_sweep_though_the_next_turn_was_refused_too() -> None:
    world = limited(requests_per_minute=1)
    for event in ("e1", "e2"):
        world.say(event, event, THREADS[0])
    world.pump("inbox.fifo", 2)
    world.model.finish(world.model.asked[0][0], ModelReply("answer"))
    world.die_at = (len(world.steps) + 5, "after")  # read, load, commit and again: turn 2 is refused, nothing is queued
    world.pump("replies")
    assert world.death == "after table.commit"
    world.say("e3", "e3", THREADS[0])
    world.pump("inbox.fifo")
    world.run_dry()
    assert not world.table.overdue(float("inf"), 1)
    assert "".join(piece for _, piece in world.platform.sent).startswith("answerYou write faster")
