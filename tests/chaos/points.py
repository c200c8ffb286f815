"""`scripts/chaos points`: every call of every stage fails in every way, and what was promised is checked each time.

The calls are found by recording a healthy run of each scenario; then each is played once for each fault at each call.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from tests.chaos import runs
from tests.chaos.faults import FAULTS
from tests.chaos.runs import Outcome, Point
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World

Result = TypeVar("Result")
STAGES = ("receive", "think", "reply", "deliver", "sweep")
ENDED = 128 + signal.SIGTERM

_world: World | None = None
"""A worker's own: made in each, since it listens on ports and keeps connections."""


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments select; comes back with the exit status: 1 where a promise was broken."""
    options = _parse(arguments)
    if options.only:
        return _replay(options.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # so that the workers are ended as well
    with multiprocessing.get_context("fork").Pool(options.jobs, _prepare) as pool:
        names = [scenario.name for scenario in SCENARIOS if scenario.name in (options.scenario or _names())]
        healthy: dict[str, Outcome] = dict(_progress("scenarios recorded", pool.imap(_record, names), len(names)))
        points = _select([p for name in names for p in runs.points(name, healthy[name].calls)], options)
        if options.list:
            print("\n".join(f"{point.name:<40} {point.stage:<8} {point.call.name}" for point in points))
            return 0
        found = []
        for point, outcome in _progress("runs", pool.imap_unordered(_run, points, chunksize=4), len(points)):
            found.append((point, outcome))
            if outcome.broken:
                print(f"violation: {point.name}", file=sys.stderr, flush=True)
    return _report(healthy, sorted(found, key=lambda entry: (entry[0].scenario, entry[0].call.number)))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos points",
        description="Plays every fault at every call of every scenario, over real HTTP, with real processes that die.",
        epilog="\n".join(
            [
                *("scenarios:", *(f"  {s.name:<16} {s.says}" for s in SCENARIOS)),
                *("faults:", *(f"  {f.name:<16} {f.says}" for f in FAULTS)),
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", action="append", choices=_names(), metavar="NAME", help="only this one; repeat")
    parser.add_argument("--stage", action="append", choices=STAGES, help="only calls of this stage; repeat for more")
    faults = [fault.name for fault in FAULTS]
    parser.add_argument("--fault", action="append", choices=faults, metavar="NAME", help="only this one; repeat")
    parser.add_argument("--sample", type=_count, metavar="N", help="play N of them, some at every call (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="another draw for --sample (default: 0)")
    parser.add_argument("--only", metavar="POINT", help="play SCENARIO/CALL/FAULT, and show its calls and logs")
    parser.add_argument("--list", action="store_true", help="print the points, and play none")
    parser.add_argument("--jobs", type=_count, default=os.cpu_count() or 1, metavar="N", help="workers (default: CPUs)")
    return parser.parse_args(arguments)


def _names() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _select(points: list[Point], options: argparse.Namespace) -> list[Point]:
    found = [
        point
        for point in points
        if (not options.stage or point.stage in options.stage) and (not options.fault or point.fault in options.fault)
    ]
    return _draw(found, options.sample, options.seed) if options.sample else found


def _draw(points: list[Point], count: int, seed: int) -> list[Point]:
    """So many points, shared out evenly among the calls that each stage makes, so that no call is left out."""
    drawn = random.Random(seed).sample(points, len(points))
    seen: Counter[tuple[str, str]] = Counter()
    turns: list[tuple[int, Point]] = []
    for point in drawn:
        turns.append((seen[point.stage, point.call.name], point))
        seen[point.stage, point.call.name] += 1
    return [point for _, point in sorted(turns, key=lambda turn: turn[0])[:count]]


# -- in a worker


def _prepare() -> None:
    global _world
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to hear
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _world = runs.prepare()


def _record(name: str) -> tuple[str, Outcome]:
    assert _world is not None
    return name, runs.run(_world, runs.find(name))


def _run(point: Point) -> tuple[Point, Outcome]:
    assert _world is not None
    return point, runs.run(_world, runs.find(point.scenario), point)


# -- what is shown


def _progress(what: str, results: Iterable[Result], of: int) -> Iterator[Result]:
    """The results, as they come; says how far it is, all the time on a terminal and seldom elsewhere."""
    begun = shown = time.monotonic()
    shows = sys.stderr.isatty()
    for number, result in enumerate(results, 1):
        yield result
        if time.monotonic() - shown > (0.2 if shows else 30) or number == of:
            shown = time.monotonic()
            text = f"{number}/{of} {what}, {shown - begun:.0f} s"
            print(
                f"\r{text} " if shows else text, end="" if shows and number < of else "\n", file=sys.stderr, flush=True
            )


def _report(healthy: dict[str, Outcome], found: list[tuple[Point, Outcome]]) -> int:
    """Print the tables and what was broken; comes back with the exit status."""
    _table("scenario", healthy, lambda point: point.scenario, found)
    _table("stage", [s for s in STAGES if any(p.stage == s for p, _ in found)], lambda point: point.stage, found)
    sick = {name: outcome.broken for name, outcome in healthy.items() if outcome.broken}
    for name, broken in sick.items():
        print(f"\n{name} breaks a promise with nothing wrong:", *broken, sep="\n    ")
    broken_points = [(point, outcome) for point, outcome in found if outcome.broken]
    for point, outcome in broken_points:
        print(f"\n{point.name}: {point.call.name} of {point.stage}", *outcome.broken, sep="\n    ")
        print(f"    replay: scripts/chaos points --only {point.name}")
    return 1 if sick or broken_points else 0


def _table(head: str, rows: Iterable[str], key: Callable[[Point], str], found: list[tuple[Point, Outcome]]) -> None:
    """Calls: places where something went wrong. Runs: faults that were played there."""
    calls = Counter(row for row, _ in {(key(point), (point.scenario, point.call.number)) for point, _ in found})
    played = Counter(key(point) for point, _ in found)
    broken = Counter(key(point) for point, outcome in found if outcome.broken)
    print(f"\n{head:<12} {'calls':>7} {'runs':>7} {'violations':>11}")
    for row in rows:
        print(f"{row:<12} {calls[row]:>7} {played[row]:>7} {broken[row]:>11}")
    print(f"{'all':<12} {calls.total():>7} {played.total():>7} {broken.total():>11}")


def _replay(name: str) -> int:
    """Play one point where it can be watched."""
    scenario, _, rest = name.partition("/")
    number, _, fault = rest.partition("/")
    if scenario not in _names() or not number.isdecimal() or fault not in {f.name for f in FAULTS}:
        print(f"chaos points: {name!r} is no SCENARIO/CALL/FAULT; --list prints them", file=sys.stderr)
        return 2
    world = runs.prepare()
    recorded = runs.run(world, runs.find(scenario)).calls
    point = next((p for p in runs.points(scenario, recorded) if p.name == name), None)
    if point is None:
        print(f"chaos points: {scenario} makes {len(recorded)} calls", file=sys.stderr)
        return 2
    outcome = runs.run(world, runs.find(scenario), point, quiet=False)
    print()
    for call in outcome.calls:
        acted = "" if call.acted == 1 else f"  acted {call.acted} times"
        here = f"  <- {fault}" if call.number == point.call.number else ""
        print(f"{call.number:>4} {runs.STAGES.get(call.function, call.function):<8} {call.name}{acted}{here}")
    print(*(outcome.broken or ["every promise is kept"]), sep="\n")
    return 1 if outcome.broken else 0
