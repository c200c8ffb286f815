"""The embedded model's architecture, begun as a machine that copies: what follows a phrase is what followed it before.

Copying out of the context (names, ids, values of a passage) is most of this model's work, and the last thing that
a small one finds by itself. So its first two layers start as a known circuit and training goes on from there:

- layer 0, heads 0 and 1 look one and two tokens back. Their queries and keys are constant, made by Qwen2's biases;
  rotary positions turn the constants so that they agree best at that distance. They note a code of that token.
- layer 1, head 0 looks for the place whose noted tokens are the present ones, and copies what stands there.

The other heads and layers start as usual, and embeddings are as long as what a layer adds: with longer ones the model
copies from the first step but is slow to learn what is asked.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from training.embedded.tokenizer import CONTEXT, SPECIAL

HEAD = 64
ROPE_THETA = 1e6
"""High, so that most pairs of a head hardly turn within the context and can compare contents."""

BACK = (1, 2)
CODE = 32
"""Residual dimensions in which a token back in the text is noted; the embedding's first ones are the code."""

STILL = 40
"""Dimensions of a head that turn by less than a radian over most of the context: the last pairs."""

SHARPNESS = 60.0
"""Scale of the constant queries and keys: how much more the token at the distance weighs than its neighbours."""

MATCH = (3.0, 2.5)
"""Weight of an agreement 1 and 2 tokens back."""

EMBEDDING = 0.25
"""Length of an embedding."""

COPY = 3.0
"""Length of what is copied, in lengths of an embedding: it must outweigh the present token's own."""

COPYING = (0,)
"""Heads that copy; each copies its own dimensions of the embedding."""

ADDED = 1.4
"""How much longer the residual is after layer 0 than by the circuit alone."""


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
        seed_copying(model, len(SPECIAL))
    return model


@torch.no_grad()
def seed_copying(model: Qwen2ForCausalLM, special: int) -> None:
    """Writes the copying circuit into the first two layers and the embedding, in place."""
    width = model.config.hidden_size
    known = width - CODE * len(BACK)  # dimensions of the embedding proper; the rest begin empty, for the codes
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, EMBEDDING * known**-0.5)
    embedding[:, known:] = 0
    embedding[:special, :CODE] = 0  # roles and ends have no code: what followed the last one says nothing
    first, second = model.model.layers[0], model.model.layers[1]
    for added in (first.mlp.down_proj.weight, first.self_attn.o_proj.weight):  # nothing else writes on the codes
        added[known:] = 0
        added[:CODE] = 0
    _look_back(first.self_attn, known, width)
    _look_up(second.self_attn, known, width)


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
        attention.v_proj.weight[rows][:CODE, :CODE] = torch.eye(CODE) * EMBEDDING * width**-0.5
        attention.o_proj.weight[:, rows] = 0
        start = known + head * CODE
        attention.o_proj.weight[start : start + CODE, rows][:, :CODE] = torch.eye(CODE)


def _look_up(attention: Any, known: int, width: int) -> None:
    length = math.sqrt(1 + len(BACK) * CODE / known) * ADDED  # of the residual after layer 0, in embeddings' lengths
    still = [i for i in range(HEAD) if i % (HEAD // 2) >= (HEAD - STILL) // 2]
    code = width**0.5 / length * math.sqrt(CODE / known)  # length of a code after the norm
    for head in COPYING:
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
        attention.v_proj.weight[rows[:size], copied] = torch.eye(size) * COPY * EMBEDDING * length * width**-0.5
        attention.o_proj.weight[:, rows] = 0
        attention.o_proj.weight[copied, rows[0] : rows[0] + size] = torch.eye(size)
