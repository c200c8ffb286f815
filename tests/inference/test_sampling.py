"""Choosing tokens: filters, penalties, bias, seeds, log-probabilities."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from engine.runner import SlotRunner
from engine.sampling import sample
from engine.sequence import Sampling, Sequence

from tests.inference.engines import run_until_idle, scheduler, sequence

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -8.0])


def draws(count: int = 3000, logits: torch.Tensor = LOGITS, **wants: Any) -> Counter[int]:
    """How often each token is drawn."""
    one = sequence([0], 1, Sampling(**{"seed": 5, **wants}))
    return Counter(found.token for _ in range(count) if (found := sample([one], logits[None])[0]) is not None)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(draws(5, temperature=0.0, top_p=0.1)) == {0}


def test_frequencies_are_those_of_the_softmax() -> None:
    seen = draws(6000, temperature=1.0)
    for token, share in enumerate(torch.softmax(LOGITS, 0).tolist()):
        assert abs(seen[token] / 6000 - share) < 0.025


def test_a_higher_temperature_spreads() -> None:
    assert draws(temperature=2.0)[0] < draws(temperature=0.5)[0]


@pytest.mark.parametrize(
    ("wants", "possible"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 1}, {0}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.8}, {0, 1}),
        ({"top_p": 0.0}, {0}),
        ({"top_k": 3, "top_p": 0.7}, {0, 1}),
        ({"min_p": 0.2}, {0, 1}),
        ({"bias": {0: -100.0}}, {1, 2, 3, 4}),
        ({"bias": {4: 100.0}}, {4}),
    ],
)
def test_filters_leave_only(wants: dict[str, Any], possible: set[int]) -> None:
    seen = set(draws(temperature=1.0, **wants))
    assert seen <= possible
    assert len(seen) >= len(possible) - 1  # the unlikeliest may not come up


def test_top_p_over_a_flat_distribution_wider_than_the_candidates_keeps_them_all() -> None:
    flat = torch.zeros(2000)
    seen = draws(4000, flat, temperature=1.0, top_p=0.99)
    assert len(seen) > 1500


def test_penalties_count_generated_tokens() -> None:
    one = sequence([0], 9, Sampling(temperature=0.0, frequency_penalty=0.6))
    tokens = []
    for _ in range(3):
        found = sample([one], LOGITS[None])[0]
        assert found is not None
        one.append(found.token)
        tokens.append(found.token)
    assert tokens == [0, 0, 1]  # 2.0, 1.4, then 0.8 against 1.0
    other = sequence([0], 9, Sampling(temperature=0.0, presence_penalty=1.5))
    other.append(0)
    assert sample([other], LOGITS[None])[0].token == 1  # type: ignore[union-attr]


def test_logprobs_are_the_models_own() -> None:
    one = sequence([0], 1, Sampling(temperature=0.0, top_logprobs=2, bias={3: 100.0}))
    found = sample([one], LOGITS[None])[0]
    assert found is not None
    expected = torch.log_softmax(LOGITS, 0).tolist()
    assert found.token == 3
    assert found.logprob == pytest.approx(expected[3])
    assert [token for token, _ in found.top] == [0, 1]
    assert [value for _, value in found.top] == pytest.approx(expected[:2])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_choose_nothing_in_that_row_alone(value: float) -> None:
    rows = torch.stack([LOGITS, LOGITS.clone(), LOGITS])
    rows[1, 2] = value
    found = sample([sequence([0], 1, Sampling(temperature=1.0)) for _ in range(3)], rows)
    assert [one is None for one in found] == [False, True, False]


def test_the_same_seed_gives_the_same_tokens_whatever_else_is_in_the_batch(model: Any) -> None:
    def run(neighbours: int) -> list[int]:
        batch = scheduler(SlotRunner(model), rows=6)
        mine = sequence([5, 6, 7], 20, Sampling(temperature=1.0, top_p=0.9, seed=42))
        others: list[Sequence] = [
            sequence([9 + i] * (3 + 7 * i), 9 + i, Sampling(temperature=1.3, seed=i)) for i in range(neighbours)
        ]
        batch.waiting.push([*others[: neighbours // 2], mine, *others[neighbours // 2 :]])
        run_until_idle(batch)
        return mine.output

    assert run(0) == run(5) == run(9)


MIXED = [
    Sampling(temperature=0.0),
    Sampling(temperature=1.0, seed=1),
    Sampling(temperature=0.8, top_k=3, seed=2),
    Sampling(temperature=1.0, top_p=0.9, seed=3),
    Sampling(temperature=5.0, top_p=0.999, seed=4),  # wider than the candidates
    Sampling(temperature=1.2, min_p=0.1, seed=5),
    Sampling(temperature=1.0, top_k=400, top_p=0.95, seed=6),
    Sampling(temperature=0.7, top_k=20, top_p=0.8, min_p=0.05, seed=7),
]


def test_rows_sampled_together_get_what_each_gets_alone() -> None:
    torch.manual_seed(1)
    logits = torch.randn(len(MIXED), 1000) * 3
    together = [sequence([0], 40, wants) for wants in MIXED]
    alone = [sequence([0], 40, wants) for wants in MIXED]
    for _ in range(40):
        expected = [sample([one], logits[row : row + 1])[0] for row, one in enumerate(alone)]
        assert sample(together, logits) == expected
