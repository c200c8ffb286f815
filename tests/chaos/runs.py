"""One run of one scenario, in a process of its own: healthy and recorded, or with one fault at one of its calls."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace

from chalicelib import wiring
from tests.chaos.faults import FAULTS, Effect, Fault
from tests.chaos.functions import Rehearsal
from tests.chaos.promises import broken
from tests.chaos.proxy import Call
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.system import Stuck, System
from tests.chaos.world import World

LIMIT_SECONDS = 60.0
"""A run takes well under a second; one that takes so long hangs."""

STAGES = {"api_handler": "receive"}
"""Functions that are called otherwise than their stage."""


@dataclass(frozen=True)
class Point:
    """One fault at one call of one scenario."""

    scenario: str
    call: Call
    fault: str
    window: bool = False
    """Whether a piece may be sent twice there: between the channel's answer and our mark."""

    @property
    def name(self) -> str:
        """What `--only` takes."""
        return f"{self.scenario}/{self.call.number}/{self.fault}"

    @property
    def stage(self) -> str:
        """The stage that makes the call."""
        return STAGES.get(self.call.function, self.call.function)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its calls, and the promises that it broke."""

    calls: tuple[Call, ...]
    broken: tuple[str, ...]


def prepare() -> World:
    """A world in which every function has run once, so that the processes forked from here need not warm up."""
    world = World()
    now, world.now = world.now, time.time()
    with _silence():
        world.while_served(lambda: _rehearse(world))
    world.now = now
    world.forget()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    return world


def _rehearse(world: World) -> None:
    system = System(world, Rehearsal)
    wiring.use(wiring.Wiring())
    system.slack("rehearsal", "0.0")  # in conversations that no run has
    system.telegram("rehearsal", 0)
    system.ask("rehearsal", conversation="rehearsal")
    system.settle()
    system.sweep()
    wiring.use(wiring.Wiring())


def points(scenario: str, recorded: tuple[Call, ...]) -> list[Point]:
    """Every point of a scenario whose healthy run made these calls."""
    found: list[Point] = []
    for index, call in enumerate(recorded):
        before = recorded[index - 1] if index else None
        sends = _is_send(call)
        marks = before is not None and _is_send(before) and call.function == "deliver"
        for fault in FAULTS:
            # The channel may have taken the piece without our knowing, or our knowing may be lost.
            unmarked = not fault.acted and (fault.always or fault.effect is Effect.DIE)  # else the SDK's retry marks it
            window = (sends and fault.acted) or (marks and unmarked)
            found.append(Point(scenario, call, fault.name, window))
    return found


def run(world: World, scenario: Scenario, point: Point | None = None, *, quiet: bool = True) -> Outcome:
    """Play a scenario in a fork of this process, with what goes wrong at `point`."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)  # its functions die with it
        _play_and_tell(world, scenario, point, sender.send, quiet)
    sender.close()
    try:
        outcome: Outcome
        if receiver.poll(LIMIT_SECONDS):
            outcome = receiver.recv()
        else:
            outcome = Outcome((), (f"the run hangs: nothing after {LIMIT_SECONDS:.0f} s",))
    except EOFError:
        outcome = Outcome((), ("the run's own process died",))
    finally:
        receiver.close()
        with suppress(ProcessLookupError):  # it had not come to its first line
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return outcome


def find(name: str) -> Scenario:
    """The scenario of that name. Raises KeyError."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]


def _play_and_tell(
    world: World, scenario: Scenario, point: Point | None, tell: Callable[[Outcome], None], quiet: bool
) -> None:
    try:
        with _silence() if quiet else nullcontext():
            tell(_play(world, scenario, point))
    except BaseException:
        tell(Outcome((), (traceback.format_exc(),)))
    finally:
        os._exit(0)


@contextmanager
def _silence() -> Iterator[None]:
    """Nobody reads the functions' log lines."""
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _play(world: World, scenario: Scenario, point: Point | None) -> Outcome:
    os.environ |= scenario.settings
    system = System(world)
    if point is not None:
        world.proxy.fault = (point.call.number, _fault(point.fault))
    try:
        scenario.play(system)
        found = broken(system, scenario, int(point is not None and point.window))
    except Stuck as stuck:
        found = [str(stuck)]
    finally:
        system.end()
    calls = tuple(world.proxy.calls)
    if point is not None and (len(calls) < point.call.number or _differs(calls[point.call.number - 1], point.call)):
        found.append(f"not the run that was recorded: call {point.call.number} is no {point.call.name} there")
    return Outcome(calls, tuple(found))


def _fault(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def _differs(one: Call, other: Call) -> bool:
    return replace(one, acted=0) != replace(other, acted=0)


def _is_send(call: Call) -> bool:
    return call.name.partition(".")[0] in ("slack", "telegram")
