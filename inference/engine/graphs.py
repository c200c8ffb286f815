"""Decoding with nothing new in memory from step to step, so that a GPU can replay a recorded step instead of being told
each kernel: launching them one by one takes longer than small batches compute.

One step is kept for each number of rows (powers of two) and width of what is read (steps of 256 tokens). Idle rows fill
a step up to its number: they write to their last place, which whoever has the row writes again before it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from engine.slots import Slots

WIDTH_STEP = 256
"""Tokens. A recorded step reads up to so many masked ones for nothing; a smaller one would mean more recordings."""

Step = Callable[[], torch.Tensor]
Capture = Callable[[Step], Step]


class Graphs:
    """Decodes the rows from 0 on. `forward(ids, positions, width)` gives logits from tensors that stay in their place.

    `capture` turns a step into one that is replayed: a CUDA graph. All steps are dropped when the slots move.
    """

    def __init__(self, slots: Slots, forward: Callable[..., torch.Tensor], device: Any, capture: Capture) -> None:
        self.slots = slots
        self.steps: dict[tuple[int, int], Step] = {}
        self._forward = forward
        self._device = device
        self._capture = capture
        self._inputs = torch.zeros((4, 0), dtype=torch.long, device=device)
        self._moves = -1

    def decode(self, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """Feed one token into each row; `lengths` were there before. Logits [rows, vocabulary], until the next call."""
        if self._moves != self.slots.moves:
            self.steps.clear()
            self._moves = self.slots.moves
            self._inputs = torch.zeros((4, self.slots.rows), dtype=torch.long, device=self._device)
        rows = min(1 << (len(tokens) - 1).bit_length(), self.slots.rows)
        width = min(-(-(max(lengths) + 1) // WIDTH_STEP) * WIDTH_STEP, self.slots.length)
        idle = rows - len(tokens)
        places = lengths + [self.slots.length - 1] * idle
        given = [tokens + [0] * idle, lengths + [0] * idle, places, list(range(rows))]
        self._inputs[:, :rows].copy_(torch.tensor(given), non_blocking=True)  # one copy to the device for all
        step = self.steps.get((rows, width))
        if step is None:
            step = self._capture(lambda: self._step(rows, width))
            self.steps[rows, width] = step
        return step()[: len(tokens)]

    def _step(self, rows: int, width: int) -> torch.Tensor:
        ids, positions, places, numbers = self._inputs[:, :rows].unbind(0)
        at = self.slots.access
        at.first, at.last, at.width, at.spans = 0, rows, width, None
        at.rows, at.positions = numbers, places
        return self._forward(ids[:, None], positions[:, None], width)


class CudaCapture:
    """Records a step as a CUDA graph; all graphs share one pool of memory, since they never run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """A step that replays what `step` does now. Runs it first, so that libraries choose their kernels."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # a step writes the same places every time, so running it again does no harm
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads (the embedding model's) may use the device meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay
