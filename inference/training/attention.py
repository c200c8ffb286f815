"""Attention over packed rows: each document sees itself alone, and no work is done between documents.

Registered with transformers as `packed`. It needs no mask: the documents' bounds come along as `cu_seq_lens_q`, as for
flash attention. On a CPU that is several times less work than a mask over a whole row.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "packed"

SHORT = 512
"""Tokens up to which a document's attention on a CPU is two plain products: in bfloat16 forward and back take half
the time of torch's fused kernel (2.3 ms against 4.4 for 250 tokens, four heads of 64, one thread)."""


def bounds_of(position_ids: Tensor) -> Tensor:
    """Where documents begin in the flattened rows, and the end: int32 of shape [documents + 1]."""
    flat = position_ids.reshape(-1)
    starts = (flat == 0).nonzero()[:, 0]
    end = torch.tensor([flat.numel()], device=flat.device)
    return torch.cat([starts, end]).to(torch.int32)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within documents; query [1, heads, tokens, size], the result [1, tokens, heads, size]."""
    grouped = query.shape[1] != key.shape[1]
    bounds = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    sizes = [after - before for before, after in pairwise(bounds)]
    shares = zip(*(torch.split(whole, sizes, 2) for whole in (query, key, value)), strict=True)
    plain = query.device.type == "cpu" and not grouped and not dropout
    parts = [
        _products(q, k, v, scaling)
        if plain and q.shape[2] <= SHORT
        else scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in shares
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _products(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    scores = (query * scaling) @ key.transpose(2, 3) + _future(query.shape[2], query.dtype)
    return scores.softmax(-1) @ value


@lru_cache(maxsize=SHORT)
def _future(size: int, kind: torch.dtype) -> Tensor:
    """Minus infinity where a token would see a later one, else 0."""
    return torch.full((size, size), -torch.inf, dtype=kind).triu(1)


def register() -> None:
    """Makes `attn_implementation="packed"` known to transformers. torch.compile leaves it as it is: it would fail on
    documents whose lengths change."""
    AttentionInterface.register(NAME, torch.compiler.disable(packed_attention))  # type: ignore[no-untyped-call]
