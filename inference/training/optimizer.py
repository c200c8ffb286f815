"""Muon for the layers' matrices, AdamW for the rest, as one optimizer. Knows no data.

Muon (Jordan et al., 2024) replaces each matrix's momentum by the nearest orthogonal matrix, found by five
Newton-Schulz steps. `torch.optim.Muon` takes the matrices one by one and was seconds a step on a CPU; matrices of one
shape are stacked here and go through in one batched product. Its updates are as large as AdamW's, so both share a
learning rate.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration that drives all singular values towards one; from Muon's authors."""

MOMENTUM = 0.95
DECAY = 0.1


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


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `muon=True` hold matrices and take Muon's step instead."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                (matrices if parameter.dim() == 2 and "embed" not in name else others).append(parameter)
        groups: list[dict[str, Any]] = [{"params": matrices, "muon": True}, {"params": others, "muon": False}]
        super().__init__(groups, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                self._orthogonal_step(group)
        try:
            self.param_groups = [group for group in groups if not group["muon"]]
            super().step()
        finally:
            self.param_groups = groups

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for matrix in group["params"]:
            by_shape[matrix.shape].append(matrix)
        for shape, matrices in by_shape.items():
            momenta = torch.stack([self._momentum(matrix) for matrix in matrices])
            scale = group["lr"] * 0.2 * max(shape) ** 0.5
            for matrix, direction in zip(matrices, orthogonalize(momenta), strict=True):
                matrix.mul_(1 - group["lr"] * DECAY).add_(direction, alpha=-scale)

    def _momentum(self, matrix: Tensor) -> Tensor:
        gradient = matrix.grad if matrix.grad is not None else torch.zeros_like(matrix)
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
            state["step"] = torch.zeros(())  # AdamW looks for it in every state that is loaded
        buffer: Tensor = state["momentum"]
        buffer.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(buffer, MOMENTUM)
