"""The fallback for models that cannot run in slots: each row has the library's own cache, decoded one by one.

Slower, and right for every architecture that `generate` runs. Same interface as `SlotRunner`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache


class SingleRunner:
    """Rows without batching. Copies of prefixes are not offered: not every cache can be cut."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = model.device
        self.config = model.config.get_text_config()
        self.vocabulary = int(self.config.vocab_size)
        self.caches: list[Any] = []

    def reserve(self, rows: int, length: int, used: int) -> None:
        """Room for `rows` rows; their memory grows by itself."""
        self.caches = self.caches[:used] + [None] * (rows - used)

    @torch.inference_mode()
    def prefill(self, row: int, tokens: list[int], start: int) -> torch.Tensor:
        """The whole prompt into a new cache; `start` is always 0 here."""
        if start:
            raise ValueError("A single runner cannot continue a copied prefix.")
        self.caches[row] = DynamicCache(config=self.config)
        return self._forward(row, tokens, 0)

    @torch.inference_mode()
    def decode(self, first: int, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """One forward for each row."""
        rows = [
            self._forward(first + index, [token], length)
            for index, (token, length) in enumerate(zip(tokens, lengths, strict=True))
        ]
        return torch.cat(rows)

    def move(self, source: int, target: int, length: int) -> None:
        """The target takes the source's cache over."""
        self.caches[target], self.caches[source] = self.caches[source], None

    def clear(self, row: int) -> None:
        """Drop the row's cache."""
        self.caches[row] = None

    def copy_out(self, row: int, length: int) -> Any:
        """Not offered: the engine is set up without reuse for this runner."""
        raise NotImplementedError("A single runner keeps no prefixes; set the engine's reuse to 0.")

    def copy_in(self, row: int, kept: Any, length: int) -> None:
        """Not offered: the engine is set up without reuse for this runner."""
        raise NotImplementedError("A single runner keeps no prefixes; set the engine's reuse to 0.")

    def bytes_per_token(self) -> int:
        """Keys and values of one token by the configuration: an upper bound for layers with smaller state."""
        heads = getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads
        size = getattr(self.config, "head_dim", None) or (self.config.hidden_size // self.config.num_attention_heads)
        return int(2 * self.config.num_hidden_layers * heads * size * self.model.dtype.itemsize)

    def _forward(self, row: int, tokens: list[int], start: int) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            input_ids=torch.tensor([tokens], device=self.device),
            position_ids=torch.arange(start, start + len(tokens), device=self.device)[None],
            past_key_values=self.caches[row],
            use_cache=True,
        ).logits
        return logits[:, -1]
