"""The simulation can fail, and says how: a guard of the product that is taken away is missed within some histories."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from parley.domain import conversation as rules
from parley.domain.conversation import Change
from parley.stages import inbox_to_model, model_to_outbox, outbox_to_channel, overdue_turns
from scripts.local.stand_in.table import MemoryTable
from tests.simulation.choices import Choices, shrink
from tests.simulation.playing import Outcome, play, replay, simplify

WITHIN = 2_000

commit = MemoryTable.commit


def commit_known_events_again(table: MemoryTable, change: Change) -> None:
    commit(table, replace(change, new_mark=None, mark=change.new_mark or change.mark))


def commit_over_others(table: MemoryTable, change: Change) -> None:
    state = table.find(change.after.id)
    commit(table, replace(change, before=state.version if state is not None else 0))


def send_all_again(channel: Any, outgoing: Any, turn: Any, now: float, ports: Any) -> None:
    pieces = channel.pieces(outgoing.text)
    for piece in pieces:
        channel.send(outgoing.reply_to, piece)
    ports.conversations.sent(turn, len(pieces), True, now)


def first_broken() -> Outcome:
    """The first history that breaks a promise. Raises StopIteration when there is none."""
    return next(outcome for seed in range(1, WITHIN) if (outcome := play(Choices(seed), seed)).promise)


def nothing(*_: Any) -> None:
    """What a stage does without its guard."""


@pytest.mark.parametrize(
    ("where", "name", "instead", "promises"),
    [
        (MemoryTable, "commit", commit_known_events_again, {"Kept", "Ordered", "Answered"}),
        (MemoryTable, "commit", commit_over_others, {"Kept", "Ordered", "Answered", "Once"}),
        (rules, "_must_wait_for", nothing, {"Once", "Ordered"}),
        (inbox_to_model, "finish_earlier_run", nothing, {"Answered"}),
        (model_to_outbox, "_finish_earlier_run", nothing, {"Answered"}),
        (inbox_to_model, "_of_the_turn", lambda conversation, newest, ports: newest[-3:], {"Answered"}),
        (outbox_to_channel, "_overtaken", lambda *_: [], {"Ordered"}),
        (outbox_to_channel, "_send", send_all_again, {"Ordered", "Once"}),
        (overdue_turns, "_finish_thinking", nothing, {"Answered"}),
    ],
    ids=[
        "the event's mark", "the version", "the step that is waited for", "think's second run", "reply's second run",
        "the turn's own messages", "the order of answers", "the pieces that were sent", "the sweep of results",
    ],
)  # fmt: skip
def test_a_guard_that_is_taken_away_is_missed(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, instead: Callable[..., Any], promises: set[str]
) -> None:
    monkeypatch.setattr(where, name, instead)
    broken = first_broken()
    assert broken.promise in promises


def test_a_broken_history_shrinks_and_breaks_the_same_promise_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_to_model, "finish_earlier_run", nothing)
    broken = first_broken()
    simple = simplify(broken)
    assert simple.promise == broken.promise == "Answered"
    assert len(simple.choices) < len(broken.choices)
    assert sum(map(bool, simple.choices)) <= 15, "what is left of it matters"
    assert replay(simple.choices) == simple
    assert any("dies at" in line or "fails" in line for line in simple.lines), "the lines say what went wrong"
    monkeypatch.undo()
    assert not replay(simple.choices).promise


def test_a_seed_makes_the_same_history_in_every_process() -> None:
    program = "from tests.simulation.playing import *; print(*play(Choices(7), 7, told=True).lines, sep='\\n')"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert told == {"\n".join(play(Choices(7), 7, told=True).lines) + "\n"}


def test_a_history_is_its_choices() -> None:
    choices = Choices(11)
    drawn = play(choices, told=True)
    assert replay(choices.made).lines == drawn.lines


def test_what_no_choice_disturbs_goes_well() -> None:
    assert not replay([]).promise


@pytest.mark.parametrize(
    ("choices", "fails", "simplest"),
    [
        ([3, 1, 4, 1, 5, 9, 2, 6], lambda made: 9 in made, [9]),
        ([0] * 40 + [7] + [0] * 40 + [5], lambda made: sum(made) >= 10, [5, 5]),
        ([8], lambda made: bool(made) and made[0] >= 3, [3]),
        ([1, 2, 3], lambda made: True, []),
    ],
)
def test_shrinking_finds_what_matters(
    choices: list[int], fails: Callable[[Sequence[int]], bool], simplest: list[int]
) -> None:
    found = shrink(choices, fails)
    assert fails(found)
    assert len(found) <= len(simplest)
    assert sum(found) <= max(10, sum(simplest))


def test_shrinking_stops_after_so_many_tries() -> None:
    tried: list[Sequence[int]] = []

    def fails(made: Sequence[int]) -> bool:
        tried.append(made)
        return False

    shrink([1] * 100, fails, tries=50)
    assert len(tried) == 50
