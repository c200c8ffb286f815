"""Keys and values of finished sequences, kept so that a prompt with the same beginning need not compute them again.

Least recently used ones go first when the budget is full. Knows tokens and opaque copies, not the model.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

LEAST = 16
"""Fewer shared tokens than this are computed faster than copied and looked up. Also the size of an index's block."""


@dataclass(eq=False)
class Kept:
    """One copy: the tokens it holds, and a hash of its beginning up to each whole block."""

    tokens: tuple[int, ...]
    copy: Any
    hashes: list[int]


class PrefixStore:
    """Copies of finished rows, at most `budget` tokens together (0 keeps nothing).

    Found by hashes of whole blocks, so that a look-up costs the prompt's length however much is kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.tokens = 0
        self._entries: OrderedDict[Kept, None] = OrderedDict()
        self._through: dict[int, dict[Kept, None]] = {}  # who begins with these blocks, oldest first
        self._ending: dict[int, dict[Kept, None]] = {}  # whose last whole block this is

    def wants(self, length: int) -> bool:
        """True if a sequence of so many tokens would be kept."""
        return LEAST <= length <= self.budget

    def keep(self, tokens: list[int], copy: Any) -> None:
        """Remember a copy of the row that holds exactly `tokens`; older ones make room, and so do its own prefixes."""
        new = Kept(tuple(tokens), copy, _hashes(tokens))
        ended = [held for name in new.hashes for held in self._ending.get(name, ())]
        for held in ended:
            if new.tokens[: len(held.tokens)] == held.tokens:
                self._drop(held)
        while self._entries and self.tokens + len(new.tokens) > self.budget:
            self._drop(next(iter(self._entries)))
        self._entries[new] = None
        self.tokens += len(new.tokens)
        for name in new.hashes:
            self._through.setdefault(name, {})[new] = None
        self._ending.setdefault(new.hashes[-1], {})[new] = None

    def longest(self, prompt: list[int]) -> tuple[int, Any]:
        """How many of the prompt's first tokens a copy shares, and the copy; 0 and None if too few.

        No other copy shares a whole block more. The last token of a prompt is never shared: its logits are needed.
        """
        deepest: Kept | None = None
        for name in _hashes(prompt):
            found = self._through.get(name)
            if found is None:
                break
            deepest = next(reversed(found))
        if deepest is None:
            return 0, None
        best = min(common(deepest.tokens, prompt), len(prompt) - 1)
        if best < LEAST:
            return 0, None
        self._entries.move_to_end(deepest)
        return best, deepest.copy

    def _drop(self, held: Kept) -> None:
        del self._entries[held]
        self.tokens -= len(held.tokens)
        for name in held.hashes:
            _forget(self._through, name, held)
        _forget(self._ending, held.hashes[-1], held)


def _hashes(tokens: list[int]) -> list[int]:
    """For each whole block, a hash of everything up to its end."""
    found: list[int] = []
    for end in range(LEAST, len(tokens) + 1, LEAST):
        found.append(hash((found[-1] if found else 0, *tokens[end - LEAST : end])))
    return found


def _forget(index: dict[int, dict[Kept, None]], name: int, held: Kept) -> None:
    del index[name][held]
    if not index[name]:
        del index[name]


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
