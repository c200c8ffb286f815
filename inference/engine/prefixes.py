"""Keys and values of finished sequences, kept so that a prompt with the same beginning need not compute them again.

Least recently used ones go first when the budget is full. Knows tokens and opaque copies, not the model.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

LEAST = 16
"""Fewer shared tokens than this are computed faster than copied and looked up."""


class PrefixStore:
    """Copies of finished rows, at most `budget` tokens together (0 keeps nothing)."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.tokens = 0
        self._entries: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def wants(self, length: int) -> bool:
        """True if a sequence of so many tokens would be kept."""
        return LEAST <= length <= self.budget

    def keep(self, tokens: list[int], copy: Any) -> None:
        """Remember a copy of the row that holds exactly `tokens`; older ones make room, and so do its own prefixes."""
        key = tuple(tokens)
        for held in [k for k in self._entries if key[: len(k)] == k]:
            self._drop(held)
        while self._entries and self.tokens + len(key) > self.budget:
            self._drop(next(iter(self._entries)))
        self._entries[key] = copy
        self.tokens += len(key)

    def longest(self, prompt: list[int]) -> tuple[int, Any]:
        """How many of the prompt's first tokens the best copy shares, and the copy; 0 and None if too few.

        The last token of a prompt is never shared: its logits are needed.
        """
        best, found = 0, None
        for key in self._entries:
            shared = common(key, prompt)
            if shared > best:
                best, found = shared, key
        best = min(best, len(prompt) - 1)
        if found is None or best < LEAST:
            return 0, None
        self._entries.move_to_end(found)
        return best, self._entries[found]

    def _drop(self, key: tuple[int, ...]) -> None:
        del self._entries[key]
        self.tokens -= len(key)


def common(left: tuple[int, ...] | list[int], right: tuple[int, ...] | list[int]) -> int:
    """How many first tokens two sequences share."""
    low, high = 0, min(len(left), len(right))
    if tuple(left[:high]) == tuple(right[:high]):
        return high
    while low < high:  # the first difference, by halving: slices compare in C
        middle = (low + high + 1) // 2
        if tuple(left[low:middle]) == tuple(right[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low
