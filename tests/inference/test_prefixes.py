"""The store of finished sequences finds the longest beginning, keeps to its budget, and forgets the oldest."""

from __future__ import annotations

from engine.prefixes import LEAST, PrefixStore, common
from hypothesis import given
from hypothesis import strategies as st

TOKENS = st.lists(st.integers(0, 1), min_size=LEAST, max_size=70)


@given(kept=st.lists(TOKENS, max_size=12), prompt=TOKENS)
def test_no_kept_sequence_shares_a_whole_block_more_than_the_one_found(
    kept: list[list[int]], prompt: list[int]
) -> None:
    store = PrefixStore(200)
    alive: list[list[int]] = []
    for tokens in kept:
        alive = [held for held in alive if tokens[: len(held)] != held]
        while sum(map(len, alive)) + len(tokens) > 200:
            alive.pop(0)
        alive.append(tokens)
        store.keep(tokens, tokens)
        assert store.tokens == sum(map(len, alive)) <= 200
    shared, copy = store.longest(prompt)
    best = max((min(common(tokens, prompt), len(prompt) - 1) for tokens in alive), default=0)
    if copy is None:
        assert max((common(tokens, prompt) for tokens in alive), default=0) < LEAST or best < LEAST
    else:
        assert copy in alive
        assert shared == min(common(copy, prompt), len(prompt) - 1) >= LEAST
        assert best - shared < LEAST


def test_what_was_used_last_is_dropped_last() -> None:
    store = PrefixStore(60)
    first, second, third = ([number] * 30 for number in (1, 2, 3))
    store.keep(first, "first")
    store.keep(second, "second")
    assert store.longest([*first, 9]) == (30, "first")
    store.keep(third, "third")
    assert store.longest([*first, 9]) == (30, "first")
    assert store.longest([*second, 9]) == (0, None)


def test_dropping_everything_leaves_nothing_in_the_index() -> None:
    store = PrefixStore(64)
    for number in range(20):
        store.keep([number] * 64, number)
    assert len(store._through) == len(store._ending) * 4 == 4
