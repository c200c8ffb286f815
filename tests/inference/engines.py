"""Engines for tests: built in one line, with listeners that collect, and a deadline on every wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from engine.engine import Engine
from engine.prefixes import PrefixStore
from engine.runner import Runner, SlotRunner
from engine.scheduler import Capacity, Scheduler
from engine.sequence import Finish, Sampled, Sampling, Sequence
from engine.stats import Stats
from engine.waiting import WaitingQueue

GREEDY = Sampling(temperature=0.0)


@dataclass
class Collect:
    """A listener that keeps all it hears. `stop_after` ends the sequence at so many tokens."""

    stop_after: int | None = None
    heard: list[Sampled] = field(default_factory=list)
    ends: list[tuple[Finish, str | None]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def on_token(self, sampled: Sampled) -> bool:
        self.heard.append(sampled)
        return len(self.heard) == self.stop_after

    def on_finish(self, reason: Finish, error: str | None) -> None:
        self.ends.append((reason, error))
        self.done.set()


def sequence(
    prompt: list[int], limit: int, sampling: Sampling = GREEDY, stop_ids: frozenset[int] = frozenset({2}), **more: Any
) -> Sequence:
    """A sequence with a collecting listener."""
    return Sequence(
        prompt=prompt,
        limit=limit,
        stop_ids=stop_ids,
        sampling=sampling,
        listener=more.pop("listener", Collect()),
        **more,
    )


def collected(found: Sequence) -> Collect:
    """The listener of a sequence made here."""
    assert isinstance(found.listener, Collect)
    return found.listener


def scheduler(runner: Runner, rows: int = 4, tokens: int = 4096, reuse: int = 0, queue: int = 1000) -> Scheduler:
    """A scheduler without a thread, stepped by the test."""
    return Scheduler(runner, Capacity(rows, tokens), WaitingQueue(queue), PrefixStore(reuse), Stats())


def engine(model: Any, rows: int = 4, tokens: int = 4096, queue: int = 1000, reuse: int = 0) -> Engine:
    """An engine that is not started yet."""
    return Engine(SlotRunner(model), window=256, capacity=Capacity(rows, tokens), queue_bound=queue, reuse=reuse)


def run_until_idle(found: Scheduler, steps: int = 2000) -> None:
    """Step until nothing is left to do; AssertionError when that takes too many steps."""
    for _ in range(steps):
        if not found.busy:
            return
        found.step()
    raise AssertionError(f"still busy after {steps} steps")


def generate(model: Any, prompt: list[int], limit: int) -> list[int]:
    """What `model.generate` gives greedily for a prompt, without the prompt."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, use_cache=True
        )
    return [int(token) for token in whole[0, len(prompt) :]]


def replay(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """What a CUDA graph does, as far as a CPU can: the step's shapes stay, and its logits always lie in one place."""
    place = step()

    def again() -> torch.Tensor:
        place.copy_(step())
        return place

    return again


def poison(runner: SlotRunner, token: int) -> None:
    """Make every forward that is fed `token` give NaN in that row."""
    honest = runner._forward

    def forward(ids: torch.Tensor, positions: torch.Tensor, mask: Any, **more: Any) -> torch.Tensor:
        logits = honest(ids, positions, mask, **more)
        logits[(ids == token).any(dim=1)] = float("nan")
        return logits

    runner._forward = forward  # type: ignore[method-assign]


def fail_on(runner: SlotRunner, token: int, error: Exception) -> None:
    """Make every forward of a prompt that begins with `token` raise."""
    honest = runner._forward

    def forward(ids: torch.Tensor, positions: torch.Tensor, mask: Any, **more: Any) -> torch.Tensor:
        if ids.shape[1] > 1 and bool((ids[:, 0] == token).any()):
            raise error
        return honest(ids, positions, mask, **more)

    runner._forward = forward  # type: ignore[method-assign]
