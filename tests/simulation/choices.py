"""Decisions of a history: drawn from a seed or taken from a list, kept as a list of small numbers, and shrunk.

Zero is always the tame choice: what comes first, without a fault. So a shorter list, or one with more zeros, is a
simpler history, and a list that ends early goes on tamely.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate


class Choices:
    """Where a history's decisions come from: `given` ones first, then those of `seed`; zeros without a seed."""

    def __init__(self, seed: int | None = None, given: Sequence[int] = ()) -> None:
        self._random = random.Random(seed).random if seed is not None else None
        self._given = given
        self.made: list[int] = []

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        if len(self.made) < len(self._given):
            choice = self._given[len(self.made)] % count
        else:
            choice = int(self._random() * count) if self._random is not None else 0
        self.made.append(choice)
        return choice

    def weighted(self, weights: Weights) -> int:
        """The index of one of the weights, each as likely as it is heavy."""
        if len(self.made) < len(self._given):
            choice = self._given[len(self.made)] % weights.count
        else:
            choice = bisect(weights.sums, self._random() * weights.sums[-1]) if self._random is not None else 0
        self.made.append(choice)
        return choice


class Weights:
    """How likely each of several choices is, ready to be drawn from."""

    def __init__(self, *weights: float) -> None:
        self.sums = list(accumulate(weights))
        self.count = len(weights)


def shrink(choices: Sequence[int], fails: Callable[[Sequence[int]], bool], tries: int = 4000) -> list[int]:
    """A list that still `fails`, shorter and tamer than `choices`: pieces are cut out, then numbers made zero or less.

    Stops when a whole round changed nothing, or after so many `tries`.
    """
    best = list(choices)
    left = tries

    def holds(candidate: list[int]) -> bool:
        nonlocal best, left
        left -= 1
        if left < 0 or not fails(candidate):
            return False
        best = candidate
        return True

    before: list[int] | None = None
    while best != before and left > 0:
        before = list(best)
        size = max(1, len(best) // 2)
        while size:
            start = len(best) - size
            while start >= 0:
                holds(best[:start] + best[start + size :])
                start -= size
            size //= 2
        for index in range(len(best) - 1, -1, -1):
            if index < len(best) and best[index]:
                for smaller in (0, best[index] // 2, best[index] - 1):
                    if smaller < best[index] and holds([*best[:index], smaller, *best[index + 1 :]]):
                        break
    while best and best[-1] == 0 and holds(best[:-1]):
        pass
    return best
