"""Recorded decodes: which are made, when they are dropped, and what happens where a model cannot be recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine.runner import SlotRunner
from loading import agrees

from tests.inference.engines import fail_on, generate, replay, run_until_idle, scheduler, sequence


class Recorder:
    """Counts what is recorded and what is replayed."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def __call__(self, step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self.recorded += 1
        again = replay(step)

        def counted() -> torch.Tensor:
            self.replayed += 1
            return again()

        return counted


def test_a_step_is_recorded_once_and_replayed_from_the_same_memory(model: Any) -> None:
    recorder = Recorder()
    runner = SlotRunner(model, recorder)
    batch = scheduler(runner, rows=4)
    made = [sequence([5 + i] * 9, 30, stop_ids=frozenset()) for i in range(3)]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert runner.graphs is not None
    # Three sequences fill a step of four rows; all of them end together.
    assert list(runner.graphs.steps) == [(4, 64)]
    assert (recorder.recorded, recorder.replayed) == (1, 29)
    assert [one.output for one in made] == [generate(model, one.prompt, 30) for one in made]


def test_steps_are_dropped_when_the_rows_get_other_memory(model: Any) -> None:
    recorder = Recorder()
    runner = SlotRunner(model, recorder)
    batch = scheduler(runner, rows=4)
    first = sequence([5] * 9, 40, stop_ids=frozenset())
    batch.waiting.push([first])
    for _ in range(3):
        batch.step()
    moves = runner.slots.moves
    batch.waiting.push([sequence([6] * 9, 200, stop_ids=frozenset())])
    run_until_idle(batch)
    assert runner.slots.moves > moves
    assert recorder.recorded > 1
    assert first.output == generate(model, first.prompt, 40)


def test_a_prompt_that_is_read_in_pieces_beside_recorded_decodes_is_left_alone(model: Any) -> None:
    runner = SlotRunner(model, replay)
    runner.prompt_tokens = 64
    batch = scheduler(runner, rows=4)
    running = [sequence([5 + i] * 4, 30, stop_ids=frozenset()) for i in range(3)]
    batch.waiting.push(running)
    batch.step()
    long = sequence([3 + i % 200 for i in range(240)], 6, stop_ids=frozenset())  # its row is the idle one of four
    batch.waiting.push([long])
    while not long.output:
        batch.step()
    plain = SlotRunner(model)
    plain.reserve(1, 256, 0)
    plain.prefill(0, long.prompt, 0)
    for mine, right in zip(runner.slots.slot_layers, plain.slots.slot_layers, strict=True):
        assert mine.store is not None
        assert right.store is not None
        torch.testing.assert_close(mine.store[:, 3, :, :240], right.store[:, 0, :, :240])
    run_until_idle(batch)
    assert long.output == generate(model, long.prompt, 6)
    assert [one.output for one in running] == [generate(model, one.prompt, 30) for one in running]


def test_the_check_at_start_covers_recorded_decodes(model: Any) -> None:
    def wrong(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        return lambda: step() + 1.0

    assert agrees(SlotRunner(model, replay), model)
    assert not agrees(SlotRunner(model, wrong), model)


def test_a_model_that_cannot_be_recorded_is_decoded_without(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")

    runner = SlotRunner(model, refuse)
    batch = scheduler(runner)
    one = sequence([5, 6, 7], 8)
    batch.waiting.push([one])
    run_until_idle(batch)
    assert one.output == generate(model, [5, 6, 7], 8)
    assert caplog.text.count("without graphs") == 1


def test_a_prompt_that_fails_beside_recorded_decodes_fails_alone(model: Any) -> None:
    runner = SlotRunner(model, replay)
    fail_on(runner, 13, torch.OutOfMemoryError("no memory for this one"))
    batch = scheduler(runner)
    made = [sequence([first, 8, 9], 6) for first in (5, 13, 6)]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert [len(one.output) > 0 for one in made] == [True, False, True]
    assert made[2].output == generate(model, made[2].prompt, 6)
