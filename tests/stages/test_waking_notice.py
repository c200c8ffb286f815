"""While the model has no instance, who waits on a channel hears so once, with what the last wake-ups took."""

from __future__ import annotations

import pytest

from parley.domain.turn import ModelReply
from parley.errors import ChannelBusy
from parley.stages.waking_notice import tell_waking
from tests.stages.world import World

CONVERSATION = "slack:T1:C1/1.0"


@pytest.fixture
def world() -> World:
    """A user has waited for half a minute, and nothing runs."""
    made = World()
    made.platform.piece_characters = 1000
    made.say("e1", "hello?")
    made.pump("inbox.fifo")
    made.pass_time(30)
    return made


def pieces(world: World) -> list[str]:
    return [piece for _, piece in world.platform.sent]


def test_who_waits_is_told_once_however_often_it_is_looked(world: World) -> None:
    assert [tell_waking(world.now, world) for _ in range(3)] == [1, 0, 0]
    (notice,) = pieces(world)
    assert "waking up" in notice
    assert "some minutes" in notice, "nobody knows yet how long"


def test_the_estimate_is_what_the_last_wake_ups_took(world: World) -> None:
    for seconds in (300.0, 420.0, 6000.0):
        world.guard.woke(seconds, world.now)
    tell_waking(world.now, world)
    assert "about 7 minutes" in pieces(world)[0]


def test_a_chinese_question_gets_a_chinese_notice() -> None:
    world = World()
    world.platform.piece_characters = 1000
    world.say("e1", "在吗？")
    world.pump("inbox.fifo")
    world.pass_time(30)
    world.guard.woke(420, world.now)
    tell_waking(world.now, world)
    assert "约 7 分钟" in pieces(world)[0]


def test_nobody_is_told_while_an_instance_runs_or_the_month_is_used_up(world: World) -> None:
    world.guard.running = 1
    assert tell_waking(world.now, world) == 0
    world.guard.running = 0
    world.guard.until = world.now + 1000
    assert tell_waking(world.now, world) == 0
    assert pieces(world) == []


def test_a_turn_that_has_just_begun_or_is_answered_gets_no_notice(world: World) -> None:
    world.say("e2", "and me?", "slack:T1:C2")
    world.pump("inbox.fifo")
    assert tell_waking(world.now, world) == 1, "the older one alone"
    world.run_dry()
    world.pass_time(60)
    assert tell_waking(world.now, world) == 0


def test_who_comes_and_fetches_is_not_written_to() -> None:
    world = World()
    world.say("e1", "hello?", "web:v1:w1")
    world.pump("inbox.fifo")
    world.pass_time(30)
    assert tell_waking(world.now, world) == 0


def test_a_channel_that_is_busy_hears_no_notice_and_the_answer_still_comes(world: World) -> None:
    world.platform.refusal = ChannelBusy("429", 5.0)
    assert tell_waking(world.now, world) == 0
    world.platform.refusal = None
    assert tell_waking(world.now, world) == 0, "it was marked before it was sent: at most once"
    world.run_dry()
    assert pieces(world) == ["answer to turn 1"]


def test_a_slow_answer_teaches_how_long_a_wake_up_takes_and_a_quick_one_does_not(world: World) -> None:
    (ask, _) = world.model.asked[0]
    world.model.finish(ask, ModelReply(text="at last", seconds=431.0))
    world.run_dry()
    assert world.guard.wake_ups == [431.0]
    world.say("e2", "and now?")
    world.pump("inbox.fifo")
    world.model.finish(world.model.asked[-1][0], ModelReply(text="quick", seconds=2.0))
    world.run_dry()
    assert world.guard.wake_ups == [431.0]
