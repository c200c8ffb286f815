"""The fallback for models that cannot run in slots: each row has the library's own cache, decoded one by one.

Slower, and right for every architecture that `generate` runs. Same interface as `SlotRunner`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from engine.lora import Lora
from engine.pictures import on_device


class SingleRunner:
    """Rows without batching. Copies of prefixes are not offered: not every cache can be cut."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = model.device
        self.config = model.config.get_text_config()
        self.vocabulary = int(self.config.vocab_size)
        self.caches: list[Any] = []
        # Models with positions in three dimensions count on behind a picture from another number than the tokens'.
        self.shifts: list[int] = []
        self.adapters = [0]
        self.lora: Lora | None = None
        self.prompt_tokens: int | None = None

    def select(self, adapters: list[int]) -> None:
        """See `Runner.select`."""
        self.adapters = adapters

    def reserve(self, rows: int, length: int, used: int) -> None:
        """Room for `rows` rows; their memory grows by itself."""
        self.caches = self.caches[:used] + [None] * (rows - used)
        self.shifts = self.shifts[:used] + [0] * (rows - used)

    @torch.inference_mode()
    def prefill(self, row: int, tokens: list[int], start: int, more: dict[str, Any] | None = None) -> torch.Tensor:
        """The whole prompt into a new cache; `start` is always 0 here."""
        if start:
            raise ValueError("A single runner cannot continue a copied prefix.")
        self.caches[row] = DynamicCache(config=self.config)
        self.shifts[row] = 0
        if not more:
            return self._forward(row, tokens, 0, self.adapters[0])
        # Without positions: the model works them out of the pictures' sizes, and says how decoding counts on.
        logits = self._call(row, tokens, self.adapters[0], **on_device(more, self.model))
        delta = getattr(getattr(self.model, "model", None), "rope_deltas", None)
        self.shifts[row] = 0 if delta is None else int(delta.reshape(-1)[0])
        return logits

    def prefill_rows(self, first: int, tokens: list[list[int]], starts: list[int]) -> torch.Tensor:
        """Not offered: `prompt_tokens` is None."""
        raise NotImplementedError("A single runner reads prompts one by one.")

    @torch.inference_mode()
    def decode(self, first: int, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """One forward for each row."""
        rows = [
            self._forward(first + index, [token], length, self.adapters[index])
            for index, (token, length) in enumerate(zip(tokens, lengths, strict=True))
        ]
        return torch.cat(rows)

    def move(self, source: int, target: int, length: int) -> None:
        """The target takes the source's cache over."""
        self.caches[target], self.caches[source] = self.caches[source], None
        self.shifts[target] = self.shifts[source]

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

    def _forward(self, row: int, tokens: list[int], start: int, adapter: int) -> torch.Tensor:
        first = start + self.shifts[row]
        positions = torch.arange(first, first + len(tokens), device=self.device)[None]
        return self._call(row, tokens, adapter, position_ids=positions)

    def _call(self, row: int, tokens: list[int], adapter: int, **more: Any) -> torch.Tensor:
        if self.lora is not None:
            self.lora.rows = [adapter]
        logits: torch.Tensor = self.model(
            input_ids=torch.tensor([tokens], device=self.device),
            past_key_values=self.caches[row],
            use_cache=True,
            **more,
        ).logits
        return logits[:, -1]
