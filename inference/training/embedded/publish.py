"""Makes the embedded model as a whole: data, training, scores, card; a folder of at most 16 MB, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from training import trainer
from training.command import Progress
from training.embedded import recipe
from training.embedded.tokenizer import CONTEXT
from training.folders import MANIFEST
from training.methods import save_model
from training.packed import PackedRows

LARGEST = 16_000_000
"""Bytes the folder may have: it lives in the repository."""


def make(out: Path, steps: int | None, seed: int, progress: Progress, checkpoint_every: int) -> None:
    """Generates, trains and writes the model folder `out`. Goes on where an earlier call was stopped."""

    steps = steps or recipe.STEPS
    out = out.resolve()
    partial = out.with_name(f".{out.name}.partial")
    data = out.with_name(f".{out.name}.prepared")
    if not (data / MANIFEST).is_file():
        recipe.prepare(data, steps * recipe.ROWS * CONTEXT, seed, progress)
    tokenizer: Any = AutoTokenizer.from_pretrained(data / "tokenizer")
    torch.manual_seed(seed)
    model = recipe.model_for(tokenizer)
    settings = recipe.settings(steps, seed, checkpoint_every)
    log = trainer.run(model, PackedRows(data / "packed" / "train.safetensors"), partial, settings, progress)
    save_model(model, tokenizer, partial)
    trainer.write_loss(partial, log)
