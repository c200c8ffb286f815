"""What two choices of the engine gain on this machine: short prompts read together, and weights laid out for a CPU.

Both ways take turns on the same model; the figures are ratios of median times, above 1 where the choice gains.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from weights import lay_out

from scripts.benchmarks.inference_workload import make_model, settle

TOGETHER = ((8, 24), (4, 64), (2, 275))
"""Prompts, and tokens of each."""

ROWS = (1, 8, 32)


def measure_choices(name: str, device: str, quick: bool) -> dict[str, Any]:
    """How many times as fast prompts are read together, and a step without history is after the layout, by rows."""
    model = make_model(name, device)
    rounds = 1 if quick else 15

    def prompts(count: int, length: int) -> torch.Tensor:
        return torch.randint(1, model.config.vocab_size, (count, length), device=device)

    def read(of: Any, ids: torch.Tensor) -> Callable[[], Any]:
        return lambda: of(input_ids=ids, logits_to_keep=1)

    figures: dict[str, Any] = {"model": name}
    with torch.inference_mode():
        for count, length in TOGETHER:
            ids = prompts(count, length)
            apart = [read(model, ids[row : row + 1]) for row in range(count)]
            ratio = _ratio(lambda apart=apart: [one() for one in apart], read(model, ids), rounds, device)  # type: ignore[misc]
            figures[f"together_{count}x{length}"] = ratio
        if device == "cpu":
            laid_out = copy.deepcopy(model)
            lay_out(laid_out)
            for rows in ROWS:
                ids = prompts(rows, 1)
                figures[f"laid_out_{rows}"] = _ratio(read(model, ids), read(laid_out, ids), rounds, device)
    return figures


def _ratio(slow: Callable[[], Any], fast: Callable[[], Any], rounds: int, device: str) -> float:
    """Median time of the first over that of the second; one round more is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for run, found in zip((slow, fast), times, strict=True):
            begun = time.perf_counter()
            run()
            settle(device)
            found.append(time.perf_counter() - begun)
    first, second = (statistics.median(found[1:]) for found in times)
    return round(first / second, 2)
