"""Greedy tokens are those of `model.generate`, alone and in any mix of a batch."""

from __future__ import annotations

import random
from typing import Any

import pytest
from engine.runner import SlotRunner
from engine.sequence import Finish
from engine.single import SingleRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading import agrees, choose_runner

from tests.inference.engines import collected, generate, replay, run_until_idle, scheduler, sequence
from tests.inference.tiny_model import make_model


def prompt_of(seed: int, length: int, vocabulary: int = 250) -> list[int]:
    return [random.Random(seed * 1000 + i).randrange(3, vocabulary) for i in range(length)]


class Oracle:
    """What `generate` gives, computed once for each prompt; fewer tokens are a prefix of more."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.known: dict[tuple[int, int], list[int]] = {}

    def tokens(self, seed: int, length: int, limit: int) -> list[int]:
        if (seed, length) not in self.known:
            self.known[seed, length] = generate(self.model, prompt_of(seed, length), 24)
        return self.known[seed, length][:limit]


@pytest.fixture(scope="module")
def oracle(model: Any) -> Oracle:
    return Oracle(model)


def test_one_alone(model: Any, oracle: Oracle) -> None:
    batch = scheduler(SlotRunner(model))
    one = sequence(prompt_of(1, 20), 24)
    batch.waiting.push([one])
    run_until_idle(batch)
    assert one.output == oracle.tokens(1, 20, 24)


ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 12),  # the step at which it arrives
        st.integers(0, 7),  # its prompt's seed
        st.sampled_from([1, 2, 17, 40, 90]),  # its prompt's length
        st.integers(1, 24),  # the most tokens
        st.one_of(st.none(), st.none(), st.integers(0, 20)),  # steps after its arrival at which it is cancelled
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    arrivals=ARRIVALS,
    rows=st.integers(1, 6),
    reuse=st.sampled_from([0, 200]),
    piece=st.sampled_from([8, 100, 512]),
    recorded=st.booleans(),
)
def test_any_mix_of_arrivals_lengths_and_cancellations(
    model: Any,
    oracle: Oracle,
    arrivals: list[tuple[int, int, int, int, int | None]],
    rows: int,
    reuse: int,
    piece: int,
    recorded: bool,
) -> None:
    runner = SlotRunner(model, replay if recorded else None)
    runner.prompt_tokens = piece
    batch = scheduler(runner, rows=rows, tokens=400, reuse=reuse)
    made = [sequence(prompt_of(seed, length), limit) for _, seed, length, limit, _ in arrivals]
    for step in range(2000):
        for one, (at, _, _, _, gone) in zip(made, arrivals, strict=True):
            if at == step:
                batch.waiting.push([one])
            if gone is not None and at + gone == step:
                one.cancelled = True
        if step > 40 and not batch.busy:
            break
        batch.step()
        assert [s.row for s in batch.running] == list(range(len(batch.running)))
        assert batch.reserved <= 400
    for one, (_, seed, length, limit, gone) in zip(made, arrivals, strict=True):
        expected = oracle.tokens(seed, length, limit)
        ends = collected(one).ends
        assert len(ends) == 1
        if ends[0][0] is Finish.CANCELLED:
            assert gone is not None
            assert one.output == expected[: len(one.output)]
        else:
            assert one.output == expected
            assert ends[0][0] is (Finish.STOP if expected[-1] == 2 else Finish.LENGTH)
    assert not batch.running
    assert (runner.graphs is not None) == recorded


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("llama", {}),
        ("qwen2", {}),
        ("mistral", {"sliding_window": 8}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("gemma3_text", {"sliding_window": 8}),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_other_architectures_in_one_batch(kind: str, more: dict[str, Any], recorded: bool) -> None:
    other = make_model(380, kind, **more)
    runner = choose_runner(other)
    assert isinstance(runner, SlotRunner)
    if recorded:
        runner = SlotRunner(other, replay)
    runner.prompt_tokens = 16  # so that the long prompt is read in pieces, and the short ones together
    batch = scheduler(runner, rows=3)
    made = [sequence(prompt_of(seed, length), 12) for seed, length in enumerate([30, 3, 14, 9, 110])]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert [one.output for one in made] == [generate(other, one.prompt, 12) for one in made]


def test_a_model_that_cannot_run_in_slots_is_computed_one_by_one(model: Any, oracle: Oracle) -> None:
    batch = scheduler(SingleRunner(model), rows=3)
    made = [sequence(prompt_of(seed, 17), 24) for seed in range(5)]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert [one.output for one in made] == [oracle.tokens(seed, 17, 24) for seed in range(5)]


def test_a_runner_that_computes_something_else_is_found_out(model: Any) -> None:
    runner = SlotRunner(model)
    honest = runner.slots.slot_layers[1].update
    runner.slots.slot_layers[1].update = lambda k, v, *a, **o: honest(k * 1.1, v, *a, **o)  # type: ignore[method-assign]
    assert not agrees(runner, model)
