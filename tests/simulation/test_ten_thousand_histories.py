"""The design's promises in ten thousand random histories; `scripts/chaos histories` plays more of them."""

from __future__ import annotations

import pytest

from tests.simulation.playing import play_seeds, simplify

HISTORIES = 10_000
AT_ONCE = 500


@pytest.mark.parametrize("first", range(1, HISTORIES + 1, AT_ONCE))
def test_every_promise_is_kept(first: int) -> None:
    broken = [outcome for outcome in play_seeds(range(first, first + AT_ONCE)) if outcome.promise]
    if broken:
        simple = simplify(broken[0])
        again = f"scripts/chaos histories --replay {'.'.join(map(str, simple.choices))}"
        pytest.fail("\n".join([*simple.lines, simple.seen, f"seeds {[o.seed for o in broken]}; again: {again}"]))
