"""One sequence: a prompt's token ids, how to sample after it, and what has come of it so far.

All state that belongs to one running request lives here. Knows nothing of text, batches or the model.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from engine.pictures import PictureInputs


class Finish(Enum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. A temperature of 0 means the most likely token, whatever else is set.

    `top_k` of 0 and `top_p` of 1 filter nothing; `min_p` is relative to the most likely token's probability.
    `bias` is added to the logits of its token ids. `top_logprobs` is None for no log-probabilities at all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: dict[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Sampled:
    """A chosen token; `logprob` and `top` (id, log-probability) are the model's own, before any bias, if asked."""

    token: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Listener(Protocol):
    """Who hears of a sequence. Called in the engine's thread: must return at once and never raise on purpose."""

    def on_token(self, sampled: Sampled) -> bool:
        """One more token. True ends the sequence here (a stop string was met)."""

    def on_finish(self, reason: Finish, error: str | None) -> None:
        """The last call for a sequence, made exactly once."""


class Constraint(Protocol):
    """A grammar that limits which tokens may come next. Called in the engine's thread only."""

    def mask(self, logits: Any) -> None:
        """Set the logits ([vocabulary], in place) of forbidden tokens to minus infinity."""

    def accept(self, token: int) -> bool:
        """Advance by a chosen token; True when the grammar is complete and nothing may follow."""


@dataclass(eq=False)
class Sequence:
    """A prompt under way. `limit` is the most tokens to generate; `stop_ids` end it and are part of `output`.

    `pictures` are what the prompt's placeholders stand for, `adapter` the number of the LoRA adapter, 0 for none.
    `row` is the place in the batch while running; the first `read` tokens of the prompt have keys and values there,
    `reused` of them copied. Times are `time.monotonic()` seconds.
    """

    prompt: list[int]
    limit: int
    stop_ids: frozenset[int]
    sampling: Sampling
    listener: Listener
    caller: str = ""
    constraint: Constraint | None = None
    pictures: PictureInputs | None = None
    adapter: int = 0
    output: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    row: int | None = None
    read: int = 0
    reused: int = 0
    cancelled: bool = False
    finished: Finish | None = None
    arrived: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    computed: float = 0.0
    """Seconds of the device that went into it: a decode's are shared by all who took part."""
    keys: list[int] = field(init=False)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # One generator for each sequence: what else runs in the batch cannot move it.
        self.random = random.Random(self.sampling.seed)
        known = self.pictures.keys(self.prompt) if self.pictures else self.prompt
        # What reuse compares instead of tokens: another adapter, or another picture, gives other keys and values.
        self.keys = [key + self._key_offset for key in known] if self.adapter else known

    @property
    def most_tokens(self) -> int:
        """The longest this sequence can become, prompt included."""
        return len(self.prompt) + self.limit

    @property
    def stored(self) -> int:
        """How many tokens have keys and values: all but the newest, which the next step feeds in."""
        return self.read + max(0, len(self.output) - 1)

    @property
    def stored_keys(self) -> list[int]:
        """`keys` for every token that has keys and values."""
        return (self.keys + [token + self._key_offset for token in self.output])[: self.stored]

    def reusable(self, shared: int) -> int:
        """How many of `shared` computed tokens can be built on: pictures are computed all together or not at all."""
        return self.pictures.reusable(shared) if self.pictures else shared

    @property
    def _key_offset(self) -> int:
        return self.adapter << 32

    def append(self, token: int) -> None:
        """Add a generated token."""
        self.output.append(token)
        self.counts[token] += 1
