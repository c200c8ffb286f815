"""Makes the embedded model as a whole: data, training, scores, card; a folder of at most 16 MB, or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from training import evaluate
from training.command import Progress
from training.embedded import recipe, weights
from training.embedded.card import card
from training.embedded.recipe import Plan
from training.embedded.tokenizer import CONTEXT
from training.errors import StepFailed
from training.folders import MANIFEST, replace_folder, write_file

LARGEST = 16_000_000
"""Bytes the folder may have: it lives in the repository."""


def make(out: Path, plan: Plan, progress: Progress) -> None:
    """Generates, trains, measures and writes the model folder `out`. Goes on where an earlier call was stopped.

    Raises StepFailed when the folder would be over `LARGEST` bytes; `out` is then as it was.
    """
    out = out.resolve()
    partial, data = (out.with_name(f".{out.name}.{part}") for part in ("partial", "prepared"))
    if not (data / MANIFEST).is_file():
        recipe.prepare(data, plan.steps * recipe.ROWS * CONTEXT, plan.seed, progress)
    weights.train(data, partial, plan)
    publish(partial, out, progress)
    shutil.rmtree(data, ignore_errors=True)


def publish(made: Path, out: Path, progress: Progress) -> None:
    """Measures the model in `made`, writes its card, and puts it in the place of `out`."""
    progress.say("measuring the model by the shipped sets")
    scores = out.with_name(f".{out.name}.evaluation")
    if evaluate.main(["--model", str(made), "--out", str(scores)]) != 0:
        raise StepFailed("the model is trained but could not be measured; run the command again to go on")
    metrics = json.loads((scores / "metrics.json").read_bytes())["metrics"]
    write_file(made / "README.md", card(made, metrics).encode())
    kept = [path for path in made.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in kept)
    if size > LARGEST:
        raise StepFailed(f"the model folder has {size:,} bytes, over {LARGEST:,}: make the model smaller")
    shutil.rmtree(made / "checkpoints", ignore_errors=True)
    for path in kept:
        path.chmod(0o644)
    replace_folder(made, out)
    shutil.rmtree(scores, ignore_errors=True)
    progress.say(f"wrote {out}: {size:,} bytes")
