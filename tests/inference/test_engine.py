"""The engine's promises under faults, cancellation, memory pressure and crowds."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from engine.engine import Engine, EngineStopped
from engine.runner import SlotRunner
from engine.sequence import Finish, Sampled, Sequence
from engine.waiting import QueueFull

from tests.inference.engines import (
    Collect,
    collected,
    engine,
    fail_on,
    generate,
    poison,
    run_until_idle,
    scheduler,
    sequence,
)

DEADLINE = 30.0


def finish(found: Sequence) -> tuple[Finish, str | None]:
    assert collected(found).done.wait(DEADLINE), "no end in time"
    return collected(found).ends[0]


def test_nan_logits_fail_that_sequence_alone(model: Any) -> None:
    runner = SlotRunner(model)
    poison(runner, 99)
    batch = scheduler(runner)
    good, bad, other = sequence([5, 6, 7], 10), sequence([5, 99], 10), sequence([9] * 20, 10)
    batch.waiting.push([good, bad, other])
    run_until_idle(batch)
    reason, error = collected(bad).ends[0]
    assert reason is Finish.ERROR
    assert error is not None
    assert "NaN" in error
    assert good.output == generate(model, good.prompt, 10)
    assert other.output == generate(model, other.prompt, 10)


def test_nan_left_in_a_row_does_not_reach_its_next_user(model: Any) -> None:
    runner = SlotRunner(model)
    batch = scheduler(runner)
    first = sequence([5] * 30, 10)
    batch.waiting.push([first])
    batch.step()
    with torch.inference_mode():
        for layer in runner.slots.slot_layers:
            assert layer.store is not None
            layer.store[:, 0] = float("nan")
    run_until_idle(batch)
    assert collected(first).ends[0][0] is Finish.ERROR
    after = [sequence([7] * size, 10) for size in (4, 12)]
    batch.waiting.push(after)
    run_until_idle(batch)
    assert [one.output for one in after] == [generate(model, one.prompt, 10) for one in after]


def test_a_decode_that_raises_for_one_row_fails_that_row_alone(model: Any) -> None:
    runner = SlotRunner(model)
    batch = scheduler(runner)
    made = [sequence([5 + i] * 9, 10) for i in range(3)]
    batch.waiting.push(made)
    batch.step()
    batch.step()
    cursed = made[1].output[-1]
    honest = runner._forward

    def forward(ids: torch.Tensor, positions: torch.Tensor, mask: Any, **more: Any) -> torch.Tensor:
        if len(ids) > 1 or (ids == cursed).any():
            raise RuntimeError("this kernel is broken")
        return honest(ids, positions, mask, **more)

    runner._forward = forward  # type: ignore[method-assign]
    batch.step()
    runner._forward = honest  # type: ignore[method-assign]
    run_until_idle(batch)
    assert [collected(one).ends[0][0] for one in made] == [Finish.LENGTH, Finish.ERROR, Finish.LENGTH]
    for one in (made[0], made[2]):
        assert one.output == generate(model, one.prompt, 10)


def test_a_prefill_that_raises_fails_that_prompt_alone(model: Any) -> None:
    runner = SlotRunner(model)
    fail_on(runner, 13, torch.OutOfMemoryError("no memory for this one"))
    batch = scheduler(runner)
    made = [sequence([first, 8, 9], 6) for first in (5, 13, 6)]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert [collected(one).ends[0][0] for one in made] == [Finish.LENGTH, Finish.ERROR, Finish.LENGTH]
    assert made[2].output == generate(model, made[2].prompt, 6)


def test_a_listener_that_raises_fails_its_own_sequence(model: Any) -> None:
    class Broken(Collect):
        def on_token(self, sampled: Sampled) -> bool:
            raise ValueError("I cannot read this")

    batch = scheduler(SlotRunner(model))
    bad, good = sequence([5, 6], 6, listener=Broken()), sequence([5, 6], 6)
    batch.waiting.push([bad, good])
    run_until_idle(batch)
    assert collected(bad).ends[0][0] is Finish.ERROR
    assert good.output == generate(model, [5, 6], 6)


@pytest.mark.parametrize("steps", range(6))
def test_cancelling_at_any_step_frees_the_row_and_is_heard_once(model: Any, steps: int) -> None:
    batch = scheduler(SlotRunner(model), rows=1)
    gone, next_one = sequence([5] * 8, 50), sequence([6] * 8, 5)
    batch.waiting.push([gone, next_one])
    for _ in range(steps):
        batch.step()
    gone.cancelled = True
    batch.step()
    assert [end[0] for end in collected(gone).ends] == [Finish.CANCELLED]
    assert batch.running == [next_one]
    run_until_idle(batch)
    assert next_one.output == generate(model, next_one.prompt, 5)


def count_forwards(runner: SlotRunner) -> list[tuple[int, int]]:
    """The shapes of what the model is fed from now on, [rows, tokens]."""
    shapes: list[tuple[int, int]] = []
    honest = runner._forward

    def forward(ids: torch.Tensor, positions: torch.Tensor, mask: Any, **more: Any) -> torch.Tensor:
        shapes.append((ids.shape[0], ids.shape[1]))
        return honest(ids, positions, mask, **more)

    runner._forward = forward  # type: ignore[method-assign]
    return shapes


def test_short_prompts_that_wait_are_read_in_one_forward(model: Any) -> None:
    runner = SlotRunner(model)
    shapes = count_forwards(runner)
    batch = scheduler(runner)
    made = [sequence([5 + size] * size, 8) for size in (3, 20, 9)]
    batch.waiting.push(made)
    batch.step()
    assert shapes == [(3, 20), (3, 1)]
    run_until_idle(batch)
    assert [one.output for one in made] == [generate(model, one.prompt, 8) for one in made]


def test_a_crowd_of_short_prompts_is_read_eight_at_a_time(model: Any) -> None:
    runner = SlotRunner(model)
    shapes = count_forwards(runner)
    batch = scheduler(runner, rows=16)
    batch.waiting.push([sequence([5 + i] * 4, 8, stop_ids=frozenset()) for i in range(10)])
    batch.step()
    assert shapes == [(8, 4), (2, 4), (10, 1)]


def test_a_long_prompt_is_read_in_pieces_and_nobody_waits_for_all_of_it(model: Any) -> None:
    runner = SlotRunner(model)
    runner.prompt_tokens = 64
    batch = scheduler(runner)
    streaming = [sequence([5 + i] * 4, limit, stop_ids=frozenset()) for i, limit in enumerate((30, 2))]
    batch.waiting.push(streaming)
    batch.step()
    long = sequence([3 + i % 200 for i in range(200)], 10, stop_ids=frozenset())
    batch.waiting.push([long, sequence([7, 8], 2)])
    shapes = count_forwards(runner)
    while not long.output:
        heard = len(streaming[0].output)
        batch.step()
        assert len(streaming[0].output) == heard + 1
        assert batch.reserved <= batch.capacity.tokens
    assert [tokens for _, tokens in shapes if tokens > 1] == [64, 64, 64, 8, 2]
    run_until_idle(batch)
    assert long.output == generate(model, long.prompt, 10)
    assert streaming[0].output == generate(model, streaming[0].prompt, 30)


@pytest.mark.parametrize("fault", [False, True])
def test_a_prompt_that_ends_while_it_is_read_leaves_its_row_free(model: Any, fault: bool) -> None:
    runner = SlotRunner(model)
    runner.prompt_tokens = 64
    batch = scheduler(runner, rows=2)
    gone, other = sequence([13, *range(3, 200)], 10), sequence([9] * 70, 10)
    batch.waiting.push([gone, other])
    batch.step()
    assert (gone.read, batch.reserved) == (64, gone.most_tokens)
    if fault:
        runner.prefill = lambda *_: 1 / 0  # type: ignore[assignment, method-assign]
        batch.step()
        del runner.prefill
    else:
        gone.cancelled = True
    run_until_idle(batch)
    assert [end[0] for end in collected(gone).ends] == [Finish.ERROR if fault else Finish.CANCELLED]
    assert other.output == generate(model, other.prompt, 10)


def test_memory_stays_within_its_bound_and_all_are_served(model: Any) -> None:
    batch = scheduler(SlotRunner(model), rows=8, tokens=128)
    made = [sequence([5 + i % 7] * (1 + i * 5 % 90), 10) for i in range(30)]
    batch.waiting.push(made)
    while batch.busy:
        batch.step()
        assert len(batch.running) * max((s.most_tokens for s in batch.running), default=0) <= 128
    assert all(collected(one).ends[0][0] in (Finish.LENGTH, Finish.STOP) for one in made)


def test_a_large_request_is_not_overtaken_for_ever(model: Any) -> None:
    batch = scheduler(SlotRunner(model), rows=4, tokens=120)
    small = [sequence([5] * 10, 10) for _ in range(3)]
    large = sequence([6] * 100, 10)
    batch.waiting.push([*small, large, *[sequence([7] * 10, 10) for _ in range(5)]])
    while not large.output:
        batch.step()
    assert all(one.finished for one in small)


def test_callers_take_turns(model: Any) -> None:
    batch = scheduler(SlotRunner(model), rows=1)
    greedy = [sequence([5, 6], 1, caller="many") for _ in range(5)]
    modest = sequence([5, 6], 1, caller="one")
    batch.waiting.push([*greedy, modest])
    for _ in range(2):
        batch.step()
    assert modest.finished is not None


def test_past_the_queue_bound_all_or_none_is_refused(model: Any) -> None:
    found = engine(model, queue=3)
    found.submit([sequence([5], 1), sequence([5], 1)])
    with pytest.raises(QueueFull):
        found.submit([sequence([5], 1), sequence([5], 1)])
    assert found.waiting == 2


@pytest.mark.parametrize("prompt", [[], [-1], [10**6], [5] * 300])
def test_what_the_model_cannot_be_fed_is_refused_before_it_reaches_the_model(model: Any, prompt: list[int]) -> None:
    with pytest.raises(ValueError, match="token"):
        engine(model).submit([sequence(prompt, 4)])


def test_threads_submit_and_cancel_at_once(model: Any) -> None:
    found = engine(model, rows=4)
    found.start()
    made = [sequence([5 + i % 50] * (1 + i % 30), 12) for i in range(60)]

    def submit(part: list[Sequence]) -> None:
        for index, one in enumerate(part):
            found.submit([one])
            if index % 3 == 0:
                found.cancel(one)

    threads = [threading.Thread(target=submit, args=(made[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    for one in made:
        reason, _ = finish(one)
        expected = generate(model, one.prompt, 12)
        assert one.output == expected[: len(one.output)]
        assert reason is Finish.CANCELLED or one.output == expected
    found.stop()
    assert all(len(collected(one).ends) == 1 for one in made)


def test_when_the_thread_dies_everyone_hears_and_the_engine_says_so(model: Any) -> None:
    found = engine(model)

    def die() -> None:
        raise MemoryError("gone")

    made = [sequence([5] * 5, 20) for _ in range(3)]
    found.submit(made)
    found._scheduler.step = die  # type: ignore[method-assign]
    found.start()
    assert [finish(one)[0] for one in made] == [Finish.ERROR] * 3
    found._thread.join(DEADLINE)
    assert not found.alive
    with pytest.raises(EngineStopped):
        found.submit([sequence([5], 1)])


def test_a_broken_accelerator_ends_the_engine_and_nobody_is_left_waiting(model: Any) -> None:
    found = engine(model)
    assert isinstance(found._scheduler.runner, SlotRunner)
    fail_on(found._scheduler.runner, 13, torch.AcceleratorError("device-side assert"))
    made = [sequence([first, 8, 9], 200, stop_ids=frozenset()) for first in (5, 13, 6)]
    found.submit(made)
    found.start()
    assert [finish(one)[0] for one in made] == [Finish.ERROR] * 3
    found._thread.join(DEADLINE)
    assert not found.alive
    assert all(len(collected(one).ends) == 1 for one in made)


@pytest.mark.parametrize("attempt", range(30))
def test_stopping_an_idle_engine_never_hangs(model: Any, attempt: int) -> None:
    found = engine(model)
    found.start()
    stopping = threading.Thread(target=found.stop)
    stopping.start()
    stopping.join(DEADLINE)
    assert not stopping.is_alive()


def test_stopping_ends_what_is_unfinished(model: Any) -> None:
    found: Engine = engine(model, rows=1)
    endless = [sequence([5] * 5, 200, stop_ids=frozenset()) for _ in range(2)]
    found.start()
    found.submit(endless)
    found.stop()
    assert [finish(one)[0] for one in endless] == [Finish.CANCELLED] * 2


def test_a_conversation_that_comes_back_reuses_its_beginning(model: Any) -> None:
    batch = scheduler(SlotRunner(model), reuse=500)
    first = sequence([5 + i % 40 for i in range(40)], 10, stop_ids=frozenset())
    batch.waiting.push([first])
    run_until_idle(batch)
    again = sequence([*first.prompt, *first.output, 9, 8, 7], 10)
    batch.waiting.push([again])
    run_until_idle(batch)
    assert again.reused == 49
    assert batch.stats.prefix_hits == 1
    assert again.output == generate(model, again.prompt, 10)
    assert batch.prefixes.tokens <= 500


def test_choices_of_one_prompt_share_its_keys_and_values(model: Any) -> None:
    batch = scheduler(SlotRunner(model), reuse=500)
    made = [sequence([5 + i % 40 for i in range(40)], 10) for _ in range(3)]
    batch.waiting.push(made)
    run_until_idle(batch)
    assert [one.reused for one in made] == [0, 39, 39]
    assert all(one.output == generate(model, one.prompt, 10) for one in made)


def test_the_device_s_time_is_shared_by_all_who_used_it_and_is_never_more_than_there_was(model: Any) -> None:
    loop = scheduler(SlotRunner(model), rows=4)
    asked = [sequence([5, 6, 7 + index], 12, stop_ids=frozenset()) for index in range(4)]
    loop.waiting.push(asked)
    begun = time.monotonic()
    run_until_idle(loop)
    spent = time.monotonic() - begun
    assert all(one.computed > 0 for one in asked)
    assert sum(one.computed for one in asked) <= spent
