"""Puts documents of mixed lengths into rows of one length, so that hardly a token of a batch is padding."""

from __future__ import annotations

import os
import random
import re
from bisect import bisect_left, insort
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from training.prepare.examples import Example

Packed = dict[str, NDArray[np.generic]]


def rows_of(lengths: Sequence[int], context: int) -> list[list[int]]:
    """Which documents share a row: best fit, the longest first. Indices into `lengths`, each once."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        at = bisect_left(room, (lengths[index], -1))
        if at == len(room):
            left, row = context, len(rows)
            rows.append([])
        else:
            left, row = room.pop(at)
        rows[row].append(index)
        if left > lengths[index]:
            insort(room, (left - lengths[index], row))
    return rows


def pack(examples: Sequence[Example], context: int, padding: int, seed: int) -> Packed:
    """`input_ids`, `loss_mask`, `position_ids`, each [rows, context], in an order that depends on `seed` alone."""
    rows = rows_of([len(example.ids) for example in examples], context)
    random.Random(seed).shuffle(rows)
    ids = np.full((len(rows), context), padding, np.int32)
    mask = np.zeros((len(rows), context), np.uint8)
    positions = np.zeros((len(rows), context), np.int32)
    for row, members in enumerate(rows):
        at = 0
        for index in members:
            example = examples[index]
            end = at + len(example.ids)
            ids[row, at:end] = example.ids
            mask[row, at:end] = example.learned
            positions[row, at:end] = np.arange(end - at)
            at = end
        positions[row, at:] = np.arange(context - at)
    return {"input_ids": ids, "loss_mask": mask, "position_ids": positions}


def save(packed: Packed, path: Path) -> None:
    """The arrays as safetensors, whole or not at all. Raises OSError, as every other write does."""
    written = path.with_suffix(".new")
    try:
        save_file(packed, written)
        os.replace(written, path)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else 0, str(error), str(path)) from None
    finally:
        written.unlink(missing_ok=True)
