"""The embedded model's architecture, begun as a machine that copies: what follows a phrase is what followed it before.

Copying out of the context (names, ids, sentences of a passage) is most of this model's work, and the last thing that
a small one finds by itself. So its first two layers start as a known circuit and training goes on from there:

- layer 0, heads 0 to 2 look 1, 2 and 3 tokens back. Their queries and keys are constant, made by Qwen2's biases;
  rotary positions turn the constants so that they agree best at that distance. They note a code of that token.
- layer 1, heads 0 and 1 look for the place whose noted tokens are the present ones, and copy what stands there.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from training.embedded.tokenizer import CONTEXT

HEAD = 64
ROPE_THETA = 1e6
"""High, so that most pairs of a head hardly turn within the context and can compare contents."""

BACK = (1, 2, 3)
CODE = 32
"""Residual dimensions in which a token back in the text is noted; the embedding's first ones are the code."""

STILL = 40
"""Dimensions of a head that turn by less than half a radian over the context: the last pairs."""

SHARPNESS = 60.0
"""Scale of the constant queries and keys: how much more the token at the distance weighs than its neighbours."""

MATCH = (2.5, 2.0, 1.5)
"""Weight of an agreement 1, 2 and 3 tokens back."""

COPY = 3.0
"""Length of what is copied, in lengths of an embedding: it must outweigh the present token's own."""


def build_model(
    tokenizer: PreTrainedTokenizerFast, width: int = 256, layers: int = 6, inner: int = 512
) -> Qwen2ForCausalLM:
    """An untrained Qwen2 model with tied embeddings, whose first layers copy where there is room for the circuit."""
    config = Qwen2Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD,
        num_key_value_heads=width // HEAD,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    if width // HEAD >= len(BACK) and layers >= 2:
        seed_copying(model)
    return model


@torch.no_grad()
def seed_copying(model: Qwen2ForCausalLM) -> None:
    """Writes the copying circuit into the first two layers and the embedding, in place."""
    width = model.config.hidden_size
    known = width - CODE * len(BACK)  # dimensions of the embedding proper; the rest begin empty, for the codes
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, known**-0.5)
    embedding[:, known:] = 0
    for layer in model.model.layers:  # what is not seeded starts small, so that it does not drown the circuit
        layer.mlp.down_proj.weight.mul_(0.5)
        layer.self_attn.o_proj.weight.mul_(0.5)
    _look_back(model.model.layers[0].self_attn, known, width)
    _look_up(model.model.layers[1].self_attn, known, width)


def _look_back(attention: Any, known: int, width: int) -> None:
    turn = ROPE_THETA ** (-torch.arange(HEAD // 2) * 2 / HEAD)  # radians a position
    size = math.sqrt(SHARPNESS)
    for head, distance in enumerate(BACK):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[rows] = 0
            projection.bias[rows] = 0
        # Half-rotation layout: pair i is (i, i + HEAD / 2).
        attention.k_proj.bias[rows] = torch.cat([torch.ones(HEAD // 2), torch.zeros(HEAD // 2)]) * size
        attention.q_proj.bias[rows] = torch.cat([torch.cos(-distance * turn), torch.sin(-distance * turn)]) * size
        attention.v_proj.weight[rows][:CODE, :CODE] = torch.eye(CODE) * width**-0.5
        attention.o_proj.weight[:, rows] = 0
        start = known + head * CODE
        attention.o_proj.weight[start : start + CODE, rows][:, :CODE] = torch.eye(CODE)


def _look_up(attention: Any, known: int, width: int) -> None:
    length = math.sqrt(1 + len(BACK) * CODE / known)  # of the residual after layer 0, in lengths of an embedding
    still = [i for i in range(HEAD) if i % (HEAD // 2) >= (HEAD - STILL) // 2]
    code = width**0.5 / length * math.sqrt(CODE / known)  # length of a code after the norm
    for head in (0, 1):
        rows = torch.arange(head * HEAD, (head + 1) * HEAD)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[rows] = 0
            projection.bias[rows] = 0
        for at, weight in enumerate(MATCH):
            # An agreement of whole codes gives a score of 4 * weight, the division by sqrt(HEAD) included.
            random = torch.randn(STILL, CODE) * STILL**-0.5 * math.sqrt(4 * weight * math.sqrt(HEAD)) / code
            keys = known + at * CODE
            queries = 0 if at == 0 else known + (at - 1) * CODE
            attention.k_proj.weight[rows[still], keys : keys + CODE] = random
            attention.q_proj.weight[rows[still], queries : queries + CODE] = random
        copied = slice(head * HEAD, min((head + 1) * HEAD, known))
        size = copied.stop - copied.start
        attention.v_proj.weight[rows[:size], copied] = torch.eye(size) * COPY * length * width**-0.5
        attention.o_proj.weight[:, rows] = 0
        attention.o_proj.weight[copied, rows[0] : rows[0] + size] = torch.eye(size)
