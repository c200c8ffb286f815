"""Packed rows on the disk, and batches made of them. What the files hold: README.md. Knows no model.

A batch is one long row: documents stand one behind the other, so no token is padding but the little at a row's end,
and logits are made only where something is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import Dataset

from training.attention import bounds_of
from training.errors import StepFailed

NAMES = ("input_ids", "loss_mask", "position_ids")


class PackedRows(Dataset[dict[str, Tensor]]):
    """The rows of a packed file, read from the disk as they are asked for."""

    def __init__(self, path: Path, most: int | None = None) -> None:
        try:
            with safe_open(path, framework="pt") as opened:
                missing = [name for name in NAMES if name not in opened.keys()]  # noqa: SIM118  # no mapping
                if missing:
                    raise StepFailed(f"{path} has no {', '.join(missing)}; make the folder again with scripts/prepare")
                self._tensors = {name: opened.get_tensor(name) for name in NAMES}
        except (SafetensorError, FileNotFoundError) as error:
            raise StepFailed(f"{path} cannot be read ({error}); make the folder again with scripts/prepare") from None
        self._rows = len(self._tensors["input_ids"]) if most is None else min(most, len(self._tensors["input_ids"]))

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, at: int) -> dict[str, Tensor]:
        return {name: tensor[at] for name, tensor in self._tensors.items()}

    @property
    def context(self) -> int:
        """Tokens of a row."""
        return int(self._tensors["input_ids"].shape[1])

    @property
    def largest_id(self) -> int:
        """The greatest token id: the model's vocabulary must have it."""
        return int(self._tensors["input_ids"].max())


def collate(rows: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """One batch of shape [1, tokens], in the arguments that transformers' causal models take.

    `logits_to_keep` are the positions that predict a learned token, `shift_labels` those tokens.
    """
    ids = torch.cat([row["input_ids"] for row in rows]).long()
    learned = torch.cat([row["loss_mask"] for row in rows]).bool()
    positions = torch.cat([row["position_ids"] for row in rows]).long()
    at = learned.nonzero()[:, 0]
    targets = ids[at][None]
    return {
        "input_ids": ids[None],
        "position_ids": positions[None],
        "cu_seq_lens_q": bounds_of(positions),
        "logits_to_keep": at - 1,
        "labels": targets,
        "shift_labels": targets,
    }
