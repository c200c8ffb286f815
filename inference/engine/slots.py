"""Keys and values of the running sequences: one row for each, rows 0..n-1 in use, none between them free.

A stock transformers model writes and reads them through its own cache interface. Knows nothing of tokens or sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass
class Access:
    """Where one forward call writes and what it reads; every layer follows the same one.

    By itself, row `first` alone gets new tokens behind `start` ones. With `spans`, each of the rows `first`..`last - 1`
    gets the first `count` of its new tokens behind `start` ones, its span being `(start, count)`. With `positions`,
    each of these rows, which `rows` lists, gets one token at its own position (both [rows]). With either, the first
    `width` tokens of each row are read.
    """

    first: int = 0
    last: int = 1
    start: int = 0
    spans: list[tuple[int, int]] | None = None
    rows: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    width: int = 0


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, [2, rows, heads, length, head size], made when the first ones come."""

    def __init__(self, access: Access, sliding: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.access = access
        self.is_sliding = sliding
        self.rows = 0
        self.length = 0
        self.store: torch.Tensor | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take memory in the shape, dtype and device of the first keys. Zeros: what is masked must still be finite."""
        if key_states.shape != value_states.shape:
            raise ValueError("Keys and values differ in shape: this model cannot run in slots.")
        _, heads, _, size = key_states.shape
        self.store = key_states.new_zeros((2, self.rows, heads, self.length, size))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values ([batch, heads, new, size]) and give what attention reads."""
        if self.store is None:
            self.lazy_initialization(key_states, value_states)
        assert self.store is not None  # for the type checker: set just above
        at = self.access
        if at.positions is not None:
            self.store[0][at.rows, :, at.positions] = key_states[:, :, 0]
            self.store[1][at.rows, :, at.positions] = value_states[:, :, 0]
            seen = self.store[:, at.first : at.last, :, : at.width]
            return seen[0], seen[1]
        if at.spans is not None:
            for index, (start, count) in enumerate(at.spans):
                self.store[0, at.first + index, :, start : start + count] = key_states[index, :, :count]
                self.store[1, at.first + index, :, start : start + count] = value_states[index, :, :count]
            seen = self.store[:, at.first : at.last, :, : at.width]
            return seen[0], seen[1]
        end = at.start + key_states.shape[2]
        self.store[0, at.first, :, at.start : end] = key_states[0]
        self.store[1, at.first, :, at.start : end] = value_states[0]
        if at.start == 0:
            return key_states, value_states
        seen = self.store[:, at.first : at.first + 1, :, :end]
        return seen[0], seen[1]

    def resize(self, rows: int, length: int, used: int, kept: int) -> None:
        """Change the capacity, keeping the first `kept` tokens of the first `used` rows."""
        self.rows, self.length = rows, length
        if self.store is None:
            return
        old = self.store
        _, _, heads, had, size = old.shape
        kept = min(kept, had)  # a resize that ran out of memory half-way left layers of different lengths
        self.store = old.new_zeros((2, rows, heads, length, size))
        self.store[:, :used, :, :kept] = old[:, :used, :, :kept]

    def get_seq_length(self) -> int:
        """Tokens before the ones being fed, for the model's own mask in a prefill."""
        return self.access.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that a prefill reads, and the offset of the first: always all of them, sliding layers too."""
        return self.access.start + query_length, 0

    def get_max_length(self) -> int:
        """No bound of its own: the engine admits only what fits."""
        return -1


class Slots(Cache):
    """All layers' rows, handed to the model as `past_key_values`."""

    def __init__(self, sliding: list[bool]) -> None:
        self.access = Access()
        self.slot_layers = [SlotLayer(self.access, flag) for flag in sliding]
        super().__init__(layers=list(self.slot_layers))
        self.rows = 0
        self.length = 0
        self.moves = 0
        """How often the rows got other memory."""

    def resize(self, rows: int, length: int, used: int, kept: int) -> None:
        """Hold `rows` rows of `length` tokens. One layer after the other, so that little is held twice."""
        self.rows, self.length = rows, length
        self.moves += 1
        for layer in self.slot_layers:
            layer.resize(rows, length, used, kept)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to row `target`."""
        for layer in self.slot_layers:
            if layer.store is not None:
                layer.store[:, target, :, :length] = layer.store[:, source, :, :length]

    def clear(self, row: int) -> None:
        """Zero a row. NaN left behind would reach later sequences: attention multiplies masked values by 0."""
        for layer in self.slot_layers:
            if layer.store is not None:
                layer.store[:, row] = 0

    def copy_out(self, row: int, length: int) -> list[torch.Tensor]:
        """A copy of the first `length` tokens of a row, one tensor [2, heads, length, size] a layer."""
        return [layer.store[:, row, :, :length].clone() for layer in self.slot_layers if layer.store is not None]

    def copy_in(self, row: int, kept: list[torch.Tensor], length: int) -> None:
        """Put the first `length` tokens of what `copy_out` gave into a row."""
        for layer, tensor in zip(self.slot_layers, kept, strict=True):
            if layer.store is not None:
                layer.store[:, row, :, :length] = tensor[:, :, :length]

    def bytes_per_token(self) -> int:
        """Memory of one token in one row over all layers; 0 before the first forward."""
        return sum(
            layer.store[:, 0, :, 0].numel() * layer.store.element_size()
            for layer in self.slot_layers
            if layer.store is not None and layer.rows and layer.length
        )
