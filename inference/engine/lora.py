"""LoRA adapters beside one model: each row of a batch may use another one, all rows in one forward.

All adapters of a layer lie in two tensors, padded to the largest rank, with zeros at number 0 for rows that use none.
A layer that sees several adapters gathers each row's matrices and multiplies them as a batch. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Lora:
    """Which adapter each row of the next forward uses; `layers` counts the layers that have any."""

    rows: list[int] = field(default_factory=lambda: [0])
    layers: int = 0

    def attach(self, layer: torch.nn.Linear, pairs: list[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Add adapters 1, 2, ... to a layer: down [rank, in] and up [out, rank] (scaled already), or None."""
        rank = max(down.shape[0] for down, _ in filter(None, pairs))
        weight = layer.weight
        # Quantised weights have no float type of their own; then the adapter's is used.
        dtype = weight.dtype if weight.dtype.is_floating_point else torch.float32
        downs = torch.zeros((len(pairs) + 1, rank, layer.in_features), dtype=dtype, device=weight.device)
        ups = torch.zeros((len(pairs) + 1, layer.out_features, rank), dtype=dtype, device=weight.device)
        for number, pair in enumerate(pairs, 1):
            if pair is not None:
                down, up = pair
                downs[number, : down.shape[0]] = down
                ups[number, :, : down.shape[0]] = up
        self.layers += 1
        layer.register_forward_hook(self._hook(downs, ups))

    def _hook(self, downs: torch.Tensor, ups: torch.Tensor) -> Any:
        def add(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            used = set(self.rows)
            if used == {0}:
                return output
            given = inputs[0]
            if len(used) == 1:
                number = self.rows[0]
                return output + given @ downs[number].T @ ups[number].T
            chosen = torch.tensor(self.rows, device=given.device)
            # [rows, tokens, in] x [rows, in, rank] x [rows, rank, out]
            return output + given @ downs[chosen].transpose(1, 2) @ ups[chosen].transpose(1, 2)

        return add
