"""Packs examples into padded batches of about equal token counts. Knows no model and no optimizer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from training.dialogues import Generator
from training.tokens import CONTEXT, Encoder, Example

Batch = tuple[torch.Tensor, torch.Tensor]
"""Ids and labels."""

POOL = 768
"""Examples sorted by length at a time: similar lengths share a batch, so little of it is padding."""

CHOICE_TOKENS = 7
"""Which answer comes is decided in its first tokens; the rest is soon known by heart."""

CUT_SHARE = 0.75
"""Share of dialogues whose last answer is cut after those tokens: the time goes into more wordings instead."""


def batches(
    generator: Generator, encoder: Encoder, tokens: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches `(ids, labels)`, both int64 of shape (rows, length), rows * length about `tokens`.

    Labels are -100 where nothing is to be learned; label i is for the prediction made at position i - 1.
    """
    rng = random.Random(seed)
    while True:
        pool = sorted((_example(generator, encoder, rng) for _ in range(POOL)), key=lambda e: len(e.ids))
        groups: list[list[Example]] = [[]]
        for example in pool:
            if (len(groups[-1]) + 1) * len(example.ids) > tokens and groups[-1]:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        yield from (pad(group) for group in groups)


def _example(generator: Generator, encoder: Encoder, rng: random.Random) -> Example:
    example = encoder.encode(generator.dialogue())
    end = CONTEXT
    if rng.random() < CUT_SHARE:
        question_end = max(i for i, learned in enumerate(example.learned) if not learned)
        end = min(end, question_end + 1 + CHOICE_TOKENS)
    return Example(example.ids[:end], example.learned[:end])


def pad(examples: Sequence[Example]) -> Batch:
    """Ids padded on the right with 0, and labels with -100; both (rows, longest)."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), -100)
    for row, example in enumerate(examples):
        row_ids, learned = torch.tensor(example.ids), torch.tensor(example.learned)
        ids[row, : len(row_ids)] = row_ids
        labels[row, : len(row_ids)] = row_ids.masked_fill(~learned, -100)
    return ids, labels
