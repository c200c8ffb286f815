"""Histories played: one by its seed or by its choices, many at once, and a broken one made as simple as it gets."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.broken import Broken
from tests.simulation.choices import Choices, shrink
from tests.simulation.history import History

AT_ONCE = 50
"""Histories that a process plays before it tells what came of them."""


@dataclass(frozen=True)
class Outcome:
    """What came of a history: its choices where it broke a promise, and how much happened in it."""

    seed: int | None
    calls: int
    deaths: int
    choices: tuple[int, ...] = ()
    promise: str = ""
    seen: str = ""
    lines: tuple[str, ...] = ()


def play(choices: Choices, seed: int | None = None, told: bool = False) -> Outcome:
    """Play one history; with its lines when `told`."""
    history = History(choices, told)
    promise = seen = ""
    try:
        history.run()
    except Broken as broken:
        promise, seen = broken.promise, str(broken)
    except Exception as error:
        promise, seen = "Sound", f"a stage failed with {type(error).__name__}: {error}"
    return Outcome(
        seed, history.scheduler.calls, len(history.scheduler.deaths), tuple(choices.made) if promise else (),
        promise, seen, tuple(history.lines or ()),
    )  # fmt: skip


def play_seeds(seeds: Sequence[int]) -> list[Outcome]:
    """Play the histories of these seeds."""
    return [play(Choices(seed), seed) for seed in seeds]


def play_many(seeds: range, jobs: int) -> Iterator[list[Outcome]]:
    """The outcomes of all seeds, some at a time and in no order, from so many processes."""
    parts = [seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE)]
    if jobs <= 1:
        yield from map(play_seeds, parts)
        return
    with multiprocessing.Pool(jobs, _leave_interrupts_to_the_parent) as pool:
        yield from pool.imap_unordered(play_seeds, parts)


def simplify(outcome: Outcome) -> Outcome:
    """The simplest history found that breaks the same promise, with its lines."""

    def fails(candidate: Sequence[int]) -> bool:
        return play(Choices(given=candidate)).promise == outcome.promise

    return play(Choices(given=shrink(outcome.choices, fails)), told=True)


def replay(choices: Iterable[int]) -> Outcome:
    """A history from its choices, with its lines."""
    return play(Choices(given=list(choices)), told=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
