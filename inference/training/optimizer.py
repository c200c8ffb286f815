"""Muon for the model's matrices, AdamW for the rest: on this task fewer steps to the same loss. Knows no data.

Muon (Jordan et al., 2024) replaces each matrix's momentum by the nearest orthogonal matrix, found by five
Newton-Schulz steps. `torch.optim.Muon` takes the matrices one by one and was seconds a step on a CPU; matrices of one
shape are stacked here and go through in one batched product.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration that drives all singular values towards one; from Muon's authors."""


def orthogonalize(stack: Tensor, steps: int = 5) -> Tensor:
    """The nearest orthogonal matrices, roughly, to `stack` of shape (n, rows, columns)."""
    a, b, c = COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = stack.mT if tall else stack
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    made: Tensor = (x.mT if tall else x).float()
    return made


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum over matrices. Its updates are as large as AdamW's, so they share a learning rate."""

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.1) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                momenta = torch.stack([self._momentum(matrix, group["momentum"]) for matrix in matrices])
                scale = group["lr"] * 0.2 * max(shape) ** 0.5
                for matrix, direction in zip(matrices, orthogonalize(momenta), strict=True):
                    matrix.mul_(1 - group["lr"] * group["decay"]).add_(direction, alpha=-scale)

    def _momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        gradient = matrix.grad if matrix.grad is not None else torch.zeros_like(matrix)
        buffer = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        buffer.lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)
