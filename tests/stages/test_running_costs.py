"""The month's budget: counted by the minute, told at 80%, kept at 100%, open again with the next month."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.domain.budget import Budget, Level, end_of_month, month_of
from parley.domain.turn import ModelReply, TurnStatus
from parley.stages.running_costs import meter
from tests.stages.world import World

CONVERSATION = "slack:T1:C1/1.0"


@pytest.fixture
def world() -> World:
    """100 USD a month, 1 USD an instance hour; one instance runs."""
    made = World()
    made.now = datetime(2026, 11, 3, tzinfo=UTC).timestamp()
    made.guard.running = 1
    return made


def hours(world: World, count: float) -> None:
    """So many hours, metered each half hour."""
    for _ in range(int(count * 2)):
        world.pass_time(1800)
        meter(1800, world.now, world)


def test_the_owner_is_told_once_at_80_and_once_at_100_percent(world: World) -> None:
    hours(world, 79.5)
    assert world.guard.told == []
    hours(world, 5)
    assert len(world.guard.told) == 1
    assert "80%" in world.guard.told[0]
    hours(world, 40)
    assert len(world.guard.told) == 2
    assert "used up: 100.00 of 100.00" in world.guard.told[1]


def test_no_instance_runs_past_the_limit_until_the_month_is_over(world: World) -> None:
    hours(world, 300)
    assert world.budget.spent(world.guard.used["2026-11"]) == 100.0
    assert world.guard.closed(world.now)
    world.now = datetime(2026, 12, 1, 0, 1, tzinfo=UTC).timestamp()
    meter(60, world.now, world)
    assert not world.guard.resting()
    hours(world, 1)
    assert world.guard.used["2026-12"] > 0


def test_a_limit_that_did_not_reach_the_endpoint_is_set_again(world: World) -> None:
    hours(world, 101)
    world.guard.stopped = False  # that run died between the flag and the endpoint
    meter(60, world.now, world)
    assert world.guard.stopped
    assert len(world.guard.told) == 2


def test_a_higher_limit_wakes_the_model_up_in_the_same_month(world: World) -> None:
    hours(world, 101)
    assert world.guard.closed(world.now)
    world.budget = Budget(limit=500.0, hourly=1.0)
    meter(60, world.now, world)
    assert not world.guard.resting()


def test_a_limit_that_is_taken_away_wakes_the_model_up(world: World) -> None:
    hours(world, 101)
    world.budget = Budget(limit=0.0, hourly=1.0)
    meter(60, world.now, world)
    assert not world.guard.resting()


def test_without_a_limit_nothing_is_counted(world: World) -> None:
    world.budget = Budget(limit=0.0, hourly=1.0)
    hours(world, 10)
    assert world.guard.used == {}


@pytest.mark.parametrize(("text", "word"), [("hello?", "resting"), ("你好？", "休息")])
def test_who_writes_while_the_model_rests_is_told_so_and_the_model_is_not_asked(
    world: World, text: str, word: str
) -> None:
    world.guard.until = end_of_month(world.now)
    world.say("e1", text)
    world.run_dry()
    assert world.model.asked == []
    assert word in world.platform.sent[0][1] + "".join(piece for _, piece in world.platform.sent[1:])
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert (turn.status, turn.deadline) == (TurnStatus.FAILED, None)


def test_messages_that_waited_for_a_resting_model_each_get_their_notice_and_no_turn_stays_open(world: World) -> None:
    world.guard.until = end_of_month(world.now)
    for number in range(3):
        world.say(f"e{number}", "hello?")
    world.run_dry()
    assert world.table.overdue(float("inf"), 10) == []
    assert world.model.asked == []


def test_a_turn_that_a_result_lets_begin_gets_its_notice_and_the_model_is_not_asked(world: World) -> None:
    for number in range(3):
        world.say(f"e{number}", "hello?")
        world.pump("inbox.fifo")
    world.guard.until = end_of_month(world.now)
    world.run_dry()
    assert len(world.model.asked) == 1, "what was asked before the month was used up"
    assert "".join(piece for _, piece in world.platform.sent).count("resting") == 1
    assert world.table.overdue(float("inf"), 10) == []


def test_a_model_that_fails_while_the_month_is_used_up_is_not_asked_again(world: World) -> None:
    world.say("e1", "hello?")
    world.pump("inbox.fifo")
    world.guard.until = end_of_month(world.now)
    world.model.finish(world.model.asked[0][0], ModelReply(error="server error (500)"))
    world.run_dry()
    assert len(world.model.asked) == 1
    assert "resting" in "".join(piece for _, piece in world.platform.sent)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 16))
def test_a_reply_that_dies_while_the_month_is_used_up_is_made_up_for(world: World, call: int, side: str) -> None:
    for number in range(2):
        world.say(f"e{number}", "hello?")
        world.pump("inbox.fifo")
    world.guard.until = end_of_month(world.now)
    world.die_at = (len(world.steps) + call, side)
    world.everything_moves()
    world.die_at = None
    window = world.death in ("after channel.send", "before table.sent")
    world.run_dry()
    assert len(world.model.asked) == 1
    assert "".join(piece for _, piece in world.platform.sent).count("resting") in ((1, 2) if window else (1,))
    assert world.table.overdue(float("inf"), 10) == []


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_run_that_dies_while_it_gives_the_notice_is_made_up_for(world: World, call: int, side: str) -> None:
    world.guard.until = end_of_month(world.now)
    world.say("e1", "hello?")
    world.die_at = (call, side)
    world.everything_moves()
    world.die_at = None
    window = world.death in ("after channel.send", "before table.sent")
    world.run_dry()
    assert world.model.asked == []
    assert "".join(piece for _, piece in world.platform.sent).count("resting") in ((1, 2) if window else (1,))
    assert world.table.overdue(float("inf"), 10) == []


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_notice_whose_run_died_goes_out_though_the_budget_was_raised_meanwhile(
    world: World, call: int, side: str
) -> None:
    world.guard.until = end_of_month(world.now)
    world.say("e1", "hello?")
    world.die_at = (call, side)
    world.pump("inbox.fifo")
    world.die_at = None
    world.guard.until = 0.0
    world.run_dry()
    assert world.table.overdue(float("inf"), 10) == [], "it needs no sweep"
    assert world.platform.sent


@given(st.floats(0, 4e9))
def test_a_month_ends_where_the_next_one_begins(now: float) -> None:
    end = end_of_month(now)
    assert end > now
    assert month_of(end) != month_of(now)
    assert month_of(end - 1) == month_of(now)


@given(st.floats(0, 1e7), st.floats(0.01, 1e5), st.floats(0, 100))
def test_levels_rise_with_what_is_spent_and_never_fall(seconds: float, limit: float, hourly: float) -> None:
    budget = Budget(limit, hourly)
    assert budget.level(seconds) <= budget.level(seconds * 2)
    assert (budget.level(seconds) is Level.CLOSED) == (budget.spent(seconds) >= limit)
