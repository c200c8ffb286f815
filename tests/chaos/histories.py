"""Play random histories of the real stages over simulated queues, clocks, a model and channels, and hold what is left
against the design's promises. A history is made of its seed alone: the same seed, the same history, on every machine.
A broken one is shrunk and told line by line, with the command that plays it again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.simulation.playing import Outcome, play_many, replay, simplify
from tests.simulation.promises import KEPT

INTERRUPTED = 130
MOST_SHOWN = 3
"""Broken histories that are shrunk and told; the others are counted, and named by their seeds."""
LINE_SECONDS = 30.0
"""How often progress is told where there is no terminal to tell it on."""


@dataclass
class Sums:
    """What came of the histories so far."""

    wanted: int
    began: float = field(default_factory=time.monotonic)
    histories: int = 0
    calls: int = 0
    deaths: int = 0
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count some more."""
        self.histories += len(outcomes)
        self.calls += sum(outcome.calls for outcome in outcomes)
        self.deaths += sum(outcome.deaths for outcome in outcomes)
        self.broken += [outcome for outcome in outcomes if outcome.promise]

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def progress(self) -> str:
        """One line for who waits."""
        left = self.seconds / self.histories * (self.wanted - self.histories)
        return (
            f"{self.histories:,} of {self.wanted:,} histories, {len(self.broken)} broken, "
            f"{self.histories / self.seconds:,.0f} a second, {_duration(left)} left"
        )

    def report(self) -> dict[str, object]:
        """Every figure."""
        counts = Counter(outcome.promise for outcome in self.broken)
        return {
            "histories": self.histories, "port_calls": self.calls, "runs_that_died": self.deaths,
            "seconds": round(self.seconds, 1), "broken": {promise: counts[promise] for promise in KEPT},
            "broken_seeds": [outcome.seed for outcome in self.broken],
        }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when a promise was broken; 130 after Ctrl-C without one; 2 for wrong use."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        return _play_again(options.replay)
    sums, progress = Sums(options.number), Progress()
    stopped = False
    try:
        for outcomes in play_many(range(options.seed, options.seed + options.number), options.jobs):
            sums.add(outcomes)
            progress.tell(sums)
    except KeyboardInterrupt:
        stopped = True
        print("chaos: stopped; this is what was played until then", file=sys.stderr)
    report = sums.report()
    print(json.dumps(report) if options.json else table(sums))
    shown = list({outcome.promise: outcome for outcome in reversed(sums.broken)}.values())[:MOST_SHOWN]
    for outcome in shown:
        print(f"chaos: seed {outcome.seed} broke a promise; shrinking it", file=sys.stderr)
        tell(simplify(outcome), sys.stderr.write if options.json else sys.stdout.write)
    return 1 if sums.broken else INTERRUPTED if stopped else 0


def table(sums: Sums) -> str:
    """The figures, for a person."""
    counts = Counter(outcome.promise for outcome in sums.broken)
    rate = sums.histories / sums.seconds
    lines = [
        f"{sums.histories:,} histories in {_duration(sums.seconds)} ({rate:,.0f} a second), "
        f"{sums.calls:,} calls of ports, {sums.deaths:,} runs that died",
        "",
        f"{'promise':<10}{'broken':>8}  what it says",
    ]
    lines += [f"{promise:<10}{counts[promise]:>8,}  {says}" for promise, says in KEPT.items()]
    if sums.broken:
        seeds = ", ".join(str(outcome.seed) for outcome in sums.broken[:20])
        lines += ["", f"broken: seeds {seeds}{' and more' if len(sums.broken) > 20 else ''}"]
    return "\n".join(lines)


def tell(outcome: Outcome, write: Callable[[str], object]) -> None:
    """A history line by line, and how to play it again."""
    write("\n" + "\n".join(outcome.lines) + f"\n\n{outcome.seen or 'every promise was kept'}\n")
    write(f"again: scripts/chaos histories --replay {'.'.join(map(str, outcome.choices)) or '0'}\n")


def _play_again(choices: Sequence[int]) -> int:
    outcome = replay(choices)
    tell(outcome, sys.stdout.write)
    return 1 if outcome.promise else 0


class Progress:
    """Tells how far it is: on a terminal in one line that changes, in a log now and then."""

    def __init__(self) -> None:
        self._changes = sys.stderr.isatty()
        self._told = 0.0

    def tell(self, sums: Sums) -> None:
        """Tell it, if it is time."""
        if self._changes:
            end = "\n" if sums.histories == sums.wanted else ""
            print(f"\r\x1b[Kchaos: {sums.progress()}", end=end, file=sys.stderr, flush=True)
        elif sums.seconds - self._told >= LINE_SECONDS:
            self._told = sums.seconds
            print(f"chaos: {sums.progress()}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos histories", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--number", type=_positive, default=10_000, help="how many (default: 10,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others count on from it (default: 1)")
    parser.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--replay", type=_choices, metavar="CHOICES", help="play and tell one history, by its choices")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _choices(text: str) -> list[int]:
    try:
        return [int(choice) for choice in text.split(".")]
    except ValueError:
        raise argparse.ArgumentTypeError("choices are whole numbers with dots between them") from None
