"""A discrete-event simulation of the model's endpoint: its queue, its instances, and what starts and stops them.

Scaling follows the stack's template: a step from zero on HasBacklogWithoutCapacity, target tracking on
ApproximateBacklogSizePerInstance, both read once a minute. Delays of AWS are parameters. Time is in seconds.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

MINUTE = 60.0
OUT_MINUTES, IN_MINUTES = 3, 15
"""How many minutes in a row Application Auto Scaling's alarms of target tracking wait, out and in."""
IN_SHARE = 0.9
"""Scale-in begins below this share of the target."""
OUT_COOLDOWN = 120.0


@dataclass(frozen=True)
class Policy:
    """The template's parameters that decide on instances; `warm` are (from, until) seconds of each day."""

    most: int = 1
    backlog: float = 32.0
    keep_warm: float = 600.0
    warm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Engine:
    """One instance: `slots` requests at once; a request takes `alone` seconds while no more than `gain` run, and
    longer in proportion beyond. `start` is from the decision to start it until it answers, give or take `spread`."""

    slots: int = 64
    alone: float = 3.0
    gain: float = 16.0
    start: float = 360.0
    spread: float = 0.25

    def seconds(self, running: int) -> float:
        """How long a request takes that begins as one of `running`."""
        return self.alone * max(1.0, running / self.gain)


@dataclass
class Outcome:
    """What came of a run: seconds from each request to its answer, instance seconds paid, starts, requests cut off."""

    waits: list[float] = field(default_factory=list)
    instance_seconds: float = 0.0
    wake_ups: int = 0
    cut: int = 0
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """The wait that `share` of the requests do not exceed; 0 without any."""
        if not self.waits:
            return 0.0
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)]

    def cost(self, hourly: float) -> float:
        """What its instances cost."""
        return self.instance_seconds / 3600 * hourly


class Endpoint:
    """One run. Instances are paid for from their start to their stop."""

    def __init__(self, policy: Policy, engine: Engine, seed: int) -> None:
        self.env = simpy.Environment()
        self.policy = policy
        self.engine = engine
        self.outcome = Outcome()
        self._random = random.Random(seed)
        self._waiting = simpy.PriorityStore(self.env)  # by arrival: what is put back is first again
        self._running: dict[int, int] = {}
        self._starting: set[int] = set()
        self._begun: dict[int, float] = {}
        self._named = 0
        self._scaled_at = -math.inf
        self._out = self._in = 0

    def run(self, arrivals: Sequence[float], until: float, instances: int = 0) -> Outcome:
        """Let the requests arrive, and everything go on until `until` or, where that is later, the last answer."""
        for _ in range(instances):
            self._add(at_once=True)
        self.env.process(self._arrive(sorted(arrivals)))
        self.env.process(self._watch())
        self.env.run(until=until)
        while len(self.outcome.waits) < len(arrivals) and self.env.now < until + 48 * 3600:
            self.env.run(until=self.env.now + MINUTE)
        for name in list(self._begun):
            self._pay(name)
        self.outcome.seconds = self.env.now
        return self.outcome

    # -- requests

    def _arrive(self, arrivals: Sequence[float]) -> Generator[Any, Any, None]:
        for at in arrivals:
            yield self.env.timeout(max(0.0, at - self.env.now))
            yield self._waiting.put(self.env.now)

    def _serve(self, name: int) -> Generator[Any, Any, None]:
        """One slot of an instance: takes the oldest request, again and again, until the instance is gone."""
        while name in self._running:
            came: Any = yield self._waiting.get()
            if name not in self._running:  # the slot outlived its instance: the request goes back
                yield self._waiting.put(came)
                return
            self._running[name] += 1
            yield self.env.timeout(self.engine.seconds(self._running[name]))
            if name in self._running:
                self._running[name] -= 1
            self.outcome.waits.append(self.env.now - came)

    # -- instances

    def _add(self, at_once: bool = False) -> None:
        self._named += 1
        name = self._named
        self._begun[name] = self.env.now
        self._starting.add(name)
        self.env.process(self._start(name, 0.0 if at_once else self._start_seconds()))

    def _start_seconds(self) -> float:
        spread = self.engine.spread
        return self.engine.start * math.exp(self._random.gauss(0.0, spread) - spread * spread / 2)

    def _start(self, name: int, seconds: float) -> Generator[Any, Any, None]:
        yield self.env.timeout(seconds)
        self._starting.discard(name)
        if name in self._begun:
            self._running[name] = 0
            for _ in range(self.engine.slots):
                self.env.process(self._serve(name))

    def _remove(self) -> None:
        """Stop the instance with the least to do."""
        name = min(self._begun, key=lambda each: (each not in self._starting, self._running.get(each, 0)))
        self.outcome.cut += self._running.pop(name, 0)
        self._starting.discard(name)
        self._pay(name)

    def _pay(self, name: int) -> None:
        self.outcome.instance_seconds += self.env.now - self._begun.pop(name)

    # -- what decides

    def _watch(self) -> Generator[Any, Any, None]:
        """Once a minute: what CloudWatch's metrics were, and what the policies make of it."""
        while True:
            yield self.env.timeout(MINUTE)
            self._decide()

    def _decide(self) -> None:
        now, policy = self.env.now, self.policy
        backlog = len(self._waiting.items) + sum(self._running.values())
        least = self._least(now)
        if len(self._begun) < least:
            self._scale(least)
            return
        if not self._begun:
            self._out = self._in = 0
            if backlog:
                self.outcome.wake_ups += 1
                self._scale(1)
            return
        each = backlog / len(self._begun)
        self._out = self._out + 1 if each > policy.backlog else 0
        self._in = self._in + 1 if each < IN_SHARE * policy.backlog else 0
        if self._out >= OUT_MINUTES and now - self._scaled_at >= OUT_COOLDOWN:
            self._scale(min(policy.most, math.ceil(len(self._begun) * each / policy.backlog)))
        elif self._in >= IN_MINUTES and now - self._scaled_at >= policy.keep_warm:
            # To zero only where nothing waits or runs: the backlog counts what runs, so nothing is cut off by that.
            self._scale(max(least, min(math.ceil(backlog / policy.backlog), len(self._begun))))

    def _least(self, now: float) -> int:
        if self.policy.warm is None:
            return 0
        begin, end = self.policy.warm
        return int(begin <= now % 86_400 < end)

    def _scale(self, wanted: int) -> None:
        if wanted == len(self._begun):
            return
        self._scaled_at, self._out, self._in = self.env.now, 0, 0
        while len(self._begun) < wanted:
            self._add()
        while len(self._begun) > wanted:
            self._remove()


def office_hours(a_day: float, days: int, seed: int, begin: float = 9.0, end: float = 18.0) -> list[float]:
    """Arrivals in seconds from a first midnight: nine in ten between the hours, the rest at any time; at random."""
    draw = random.Random(seed)
    found: list[float] = []
    for day in range(days):
        for _ in range(_poisson(draw, a_day)):
            inside = draw.random() < 0.9
            found.append(day * 86_400 + (draw.uniform(begin, end) * 3600 if inside else draw.uniform(0, 86_400)))
    return sorted(found)


def _poisson(draw: random.Random, mean: float) -> int:
    """How many events there are where `mean` are expected; nearly normal for many."""
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    count, left = 0, draw.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + draw.expovariate(1.0)
    return count


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return statistics.fmean(values) if values else 0.0
