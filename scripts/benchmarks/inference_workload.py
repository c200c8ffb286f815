"""What the inference benchmark asks of every peer: models with random weights, and the same requests for all.

Also what a result is, and how fast the machine's memory would let it be.
"""

from __future__ import annotations

import copy
import random
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SHAPES: dict[str, tuple[str, int, int, int, int, int, int, int]] = {
    "tiny": ("llama", 64, 2, 4, 2, 16, 128, 512),
    "5M": ("llama", 256, 6, 4, 2, 64, 704, 4096),
    "25M": ("qwen3", 448, 8, 8, 4, 64, 1344, 8192),
    "100M": ("llama", 768, 12, 12, 4, 64, 2048, 24576),
    "0.6B": ("qwen3", 1024, 28, 16, 8, 128, 3072, 151936),
    "4B": ("qwen3", 2560, 36, 32, 8, 128, 9728, 151936),
    "8B": ("qwen3", 4096, 36, 32, 8, 128, 12288, 151936),
    "Llama-8B": ("llama", 4096, 32, 32, 8, 128, 14336, 128256),
}
"""Architecture, width, layers, heads, key and value heads, head size, feed-forward width, vocabulary.

From 0.6B on these are Qwen3-0.6B, -4B, -8B and Llama-3.1-8B.
"""

WINDOW = 1024
UNTIED = {"8B", "Llama-8B"}


@dataclass(frozen=True)
class Request:
    """A prompt and how many tokens to answer with; nothing ends an answer earlier."""

    prompt: list[int]
    answer: int


@dataclass
class Outcome:
    """One peer's run of a workload. Times are seconds from the request's arrival; lists are in the workload's order."""

    seconds: float
    tokens: list[list[int]]
    first: list[float]
    latency: list[float]

    @property
    def rate(self) -> float:
        """Tokens that were asked for, a second."""
        return sum(len(answer) for answer in self.tokens) / self.seconds


def make_model(name: str, device: str, words: int | None = None) -> Any:
    """A model of a real architecture with seeded random weights: float32 on CPU, bfloat16 on a GPU.

    `words` is a vocabulary to use in place of the shape's own.
    """
    kind, hidden, layers, heads, kv_heads, head, wide, vocabulary = SHAPES[name]
    torch.manual_seed(7)
    config = AutoConfig.for_model(
        kind,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head,
        intermediate_size=wide,
        vocab_size=words or vocabulary,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=name not in UNTIED,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        initializer_range=0.05,
    )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    auto: Any = AutoModelForCausalLM
    with torch.device(device):
        model = auto.from_config(config, attn_implementation="sdpa", dtype=dtype).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def share_weights(model: Any) -> Any:
    """A second model over the same weights, so that a peer may change its attention."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def requests(model: Any, count: int, seed: int, longest: tuple[int, int] = (500, 128)) -> list[Request]:
    """`count` requests: prompts of 50 to 500 tokens, answers of 16 to 128, or up to what `longest` says."""
    dice = random.Random(seed)
    vocabulary = model.config.vocab_size
    return [
        Request(
            [dice.randrange(1, vocabulary) for _ in range(dice.randint(min(50, longest[0]), longest[0]))],
            dice.randint(min(16, longest[1]), longest[1]),
        )
        for _ in range(count)
    ]


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a plain copy of large memory reads and writes together: the median of nine."""
    size = (256 << 20) if device == "cpu" else (2 << 30)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        target.copy_(source)
        settle(device)
        times.append(time.perf_counter() - begun)
    return 2 * size / statistics.median(times[1:])


def floor_seconds(model: Any, work: list[Request], clients: int, bandwidth: float) -> float:
    """The least time for decoding: each step reads the weights once and the keys and values of all who run.

    All of `clients` are taken to start together, `clients` at a time; prefills count nothing.
    """
    config = model.config
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if not config.tie_word_embeddings:
        weights -= config.vocab_size * config.hidden_size * model.dtype.itemsize  # only rows of it are read
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * model.dtype.itemsize
    read = 0
    for begin in range(0, len(work), clients):
        group = work[begin : begin + clients]
        read += weights * max(r.answer for r in group)
        read += token * sum(len(r.prompt) * r.answer + r.answer * (r.answer - 1) // 2 for r in group)
    return read / bandwidth


def settle(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()
