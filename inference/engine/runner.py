"""Runs a stock causal language model over rows of keys and values: `prefill` a row, or some, `decode` all by one token.

The only file that calls the model. Knows nothing of requests, queues or sampling.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

import torch

from engine.graphs import Capture, CudaCapture, Graphs
from engine.lora import Lora
from engine.pictures import on_device
from engine.slots import Slots

log = logging.getLogger("parley.engine")

LENGTH_STEP = 64
"""Rows grow by whole steps of this many tokens, so that memory is not moved for every new one."""


class Runner(Protocol):
    """What the scheduler needs of a model. Rows are numbered from 0 and have no gaps.

    `prompt_tokens` is how many tokens of prompts are worth reading in one step; None where a prompt must be read whole
    and alone.
    """

    vocabulary: int
    lora: Lora | None
    prompt_tokens: int | None

    def reserve(self, rows: int, length: int, used: int) -> None:
        """Make room for `rows` rows of `length` tokens; the first `used` rows keep what they hold."""

    def select(self, adapters: list[int]) -> None:
        """Which LoRA adapter (0: none) each row of the next call uses."""

    def prefill(self, row: int, tokens: list[int], start: int, more: dict[str, Any] | None = None) -> torch.Tensor:
        """Feed `tokens` into a row behind `start` tokens already there; the last one's logits, [1, vocabulary].

        `more` are the model's other arguments: the pictures that placeholders among the tokens stand for.
        """

    def prefill_rows(self, first: int, tokens: list[list[int]], starts: list[int]) -> torch.Tensor:
        """As `prefill`, for the rows from `first` on together; the logits of each one's last token."""

    def decode(self, first: int, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """Feed one token into each row from `first` on; `lengths` were there before. Logits [rows, vocabulary]."""

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row's first `length` tokens over another row."""

    def clear(self, row: int) -> None:
        """Forget a row so thoroughly that no NaN stays in it."""

    def copy_out(self, row: int, length: int) -> Any:
        """A copy of a row's first `length` tokens that outlives the row."""

    def copy_in(self, row: int, kept: Any, length: int) -> None:
        """Put the first `length` tokens of such a copy into a row."""

    def bytes_per_token(self) -> int:
        """Memory that one token of one row takes."""


class SlotRunner:
    """The engine's main path: every row in one preallocated tensor a layer, one padded decode for all rows.

    `capture` records decodes to be replayed (see `Graphs`); CUDA graphs on a GPU, none on a CPU.
    """

    def __init__(self, model: Any, capture: Capture | None = None) -> None:
        self.model = model
        self.device = model.device
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.window, sliding = _sliding(config)
        self.by_type = self.window is not None and getattr(config, "layer_types", None) is not None
        self.slots = Slots(sliding)
        self.additive = config._attn_implementation == "eager"
        self.lora: Lora | None = None
        self.prompt_tokens: int | None = 512 if self.device.type == "cpu" else 4096
        if capture is None and self.device.type == "cuda":
            capture = CudaCapture()
        self.graphs = Graphs(self.slots, self._recorded, self.device, capture) if capture else None

    def select(self, adapters: list[int]) -> None:
        """See `Runner.select`."""
        if self.lora is not None:
            self.lora.rows = adapters

    @torch.inference_mode()
    def reserve(self, rows: int, length: int, used: int) -> None:
        """Grow, or shrink, to the given shape; the length rounded up to a whole step."""
        length = -(-length // LENGTH_STEP) * LENGTH_STEP
        self.slots.resize(rows, length, used, min(length, self.slots.length))

    @torch.inference_mode()
    def prefill(self, row: int, tokens: list[int], start: int, more: dict[str, Any] | None = None) -> torch.Tensor:
        """One row alone and unpadded: the same numbers as `generate` computes."""
        at = self.slots.access
        at.first, at.last, at.start, at.spans, at.positions = row, row + 1, start, None, None
        ids = torch.tensor([tokens], device=self.device)
        positions = torch.arange(start, start + len(tokens), device=self.device)[None]
        return self._forward(ids, positions, None, **on_device(more, self.model))[:, -1]

    @torch.inference_mode()
    def prefill_rows(self, first: int, tokens: list[list[int]], starts: list[int]) -> torch.Tensor:
        """Several rows padded on the right: what is behind a prompt's end lies in its future, so nobody sees it."""
        counts = [len(row) for row in tokens]
        longest = max(counts)
        at = self.slots.access
        at.first, at.last, at.positions = first, first + len(tokens), None
        at.spans = list(zip(starts, counts, strict=True))
        at.width = max(start + count for start, count in at.spans)
        ids = torch.tensor([row + row[-1:] * (longest - len(row)) for row in tokens], device=self.device)
        positions = torch.tensor(starts, device=self.device)[:, None] + torch.arange(longest, device=self.device)
        # The logits of every place where some prompt ends; each row then takes its own.
        ends = sorted(set(counts))
        keep = torch.tensor([end - 1 for end in ends], device=self.device)
        logits = self._forward(ids, positions, self._mask(positions, at.width), logits_to_keep=keep)
        own = torch.tensor([ends.index(count) for count in counts], device=self.device)
        return logits[torch.arange(len(tokens), device=self.device), own]

    @torch.inference_mode()
    def decode(self, first: int, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """All rows by one token, padded to the longest; one row alone needs neither padding nor a mask."""
        if self.graphs is not None and first == 0 and self.lora is None:
            try:
                return self.graphs.decode(tokens, lengths)
            except Exception as error:  # what is really broken fails again below
                log.warning("this model is decoded without graphs from here on: %s", error)
                self.graphs = None
        if len(tokens) == 1:
            return self.prefill(first, tokens, lengths[0])
        at = self.slots.access
        positions = torch.tensor(lengths, device=self.device)
        at.first, at.last, at.width = first, first + len(tokens), max(lengths) + 1
        at.rows, at.positions = torch.arange(at.first, at.last, device=self.device), positions
        ids = torch.tensor(tokens, device=self.device)[:, None]
        return self._forward(ids, positions[:, None], self._mask(positions[:, None], at.width))[:, -1]

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """See `Slots.move`."""
        self.slots.move(source, target, length)

    @torch.inference_mode()
    def clear(self, row: int) -> None:
        """See `Slots.clear`."""
        self.slots.clear(row)

    @torch.inference_mode()
    def copy_out(self, row: int, length: int) -> Any:
        """See `Slots.copy_out`."""
        return self.slots.copy_out(row, length)

    @torch.inference_mode()
    def copy_in(self, row: int, kept: Any, length: int) -> None:
        """See `Slots.copy_in`."""
        self.slots.copy_in(row, kept, length)

    def bytes_per_token(self) -> int:
        """See `Slots.bytes_per_token`."""
        return self.slots.bytes_per_token()

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, mask: Any, **more: Any) -> torch.Tensor:
        """Logits [rows, kept, vocabulary], by default of the last token alone; `more` are the model's arguments."""
        logits: torch.Tensor = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.slots,
            use_cache=True,
            **{"logits_to_keep": 1, **more},
        ).logits
        return logits

    def _recorded(self, ids: torch.Tensor, positions: torch.Tensor, width: int) -> torch.Tensor:
        """One step of a decode that may be recorded: everything in it is computed from what is on the device."""
        return self._forward(ids, positions, self._mask(positions, width))[:, -1]

    def _mask(self, positions: torch.Tensor, width: int) -> Any:
        """Which keys each row's queries see, [rows, 1, queries, width]; by layer type for models with two kinds."""
        keys = torch.arange(width, device=self.device)
        age = positions[:, :, None] - keys  # [rows, queries, width]; negative for padding and what is not written yet
        full = self._finish_mask(age >= 0)
        if self.window is None:
            return full
        near = self._finish_mask((age >= 0) & (age < self.window))
        return {"full_attention": full, "sliding_attention": near} if self.by_type else near

    def _finish_mask(self, visible: torch.Tensor) -> torch.Tensor:
        visible = visible[:, None]
        if not self.additive:
            return visible
        lowest = torch.finfo(self.model.dtype).min
        return torch.zeros(visible.shape, dtype=self.model.dtype, device=self.device).masked_fill(~visible, lowest)


def _sliding(config: Any) -> tuple[int | None, list[bool]]:
    """The sliding window, if any layer has one, and which layers do. ValueError for kinds that slots cannot hold."""
    layers = int(config.num_hidden_layers)
    types = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if types is not None:
        odd = sorted(set(types) - {"full_attention", "sliding_attention"})
        if odd:
            raise ValueError(f"Layers of the kinds {odd} cannot run in slots.")
        flags = [kind == "sliding_attention" for kind in types]
        return (window if any(flags) else None), flags
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return None, [False] * layers
    return int(window), [True] * layers
