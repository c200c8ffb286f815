"""What a registry says of a model: its data, its training and its evaluation, from the folders that the steps left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import StepFailed
from training.folders import FORMAT, git_revision, sha256

CARD = "README.md"


@dataclass(frozen=True)
class Wish:
    """What to promote: a model's folder and its evaluation. `baseline` is an evaluation of the version in use, for when
    the sets have changed since; `data` the prepared folder; `licence` wins over what training.json says."""

    model: Path
    evaluation: Path
    baseline: Path | None = None
    data: Path | None = None
    licence: str | None = None
    by: str = "unknown"


def describe(wish: Wish) -> dict[str, Any]:
    """What version.json says of the model, its data and its evaluation. Raises StepFailed."""
    training = _training(wish.model)
    evaluation = read_evaluation(wish.evaluation)
    digest = model_sha256(wish.model)
    if evaluation["model"].get("sha256") not in (None, digest):
        raise StepFailed(
            f"{wish.evaluation} is an evaluation of other weights than those in {wish.model}; evaluate them"
        )
    licence = wish.licence or training.get("licence")
    if not licence:
        raise StepFailed(f"{wish.model / 'training.json'} names no licence; give --licence")
    data = _data(training, wish.data)
    return {
        "format": FORMAT,
        "licence": licence,
        "languages": data.get("languages") or ["en", "zh"],
        "git_revision": git_revision(),
        "model_sha256": digest,
        "config": json.loads((wish.model / "config.json").read_bytes()),
        "training": training,
        "data": data,
        "metrics": evaluation["metrics"],
        "sets": evaluation.get("sets") or {},
        "files": {
            file.relative_to(wish.model).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
            for file in files_of(wish.model) if file.name != CARD
        },
    }  # fmt: skip


def model_sha256(folder: Path) -> str:
    """What stands for a model's weights: the hash of the hashes of its safetensors, as scripts/evaluate has it."""
    weights = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256("".join(sha256(path) for path in weights).encode()).hexdigest()


def files_of(folder: Path) -> list[Path]:
    """A folder's files, without checkpoints and what is hidden."""
    found = (path for path in folder.rglob("*") if path.is_file())
    parts = ((path, path.relative_to(folder).parts) for path in found)
    return sorted(path for path, inside in parts if not any(p.startswith((".", "checkpoint-")) for p in inside))


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The content of metrics.json. Raises StepFailed where the folder is no finished evaluation."""
    try:
        found: dict[str, Any] = json.loads((folder / "metrics.json").read_bytes())
        complete = bool(found["metrics"]) and all({"value", "better"} <= m.keys() for m in found["metrics"].values())
        found["model"].get("sha256")
    except (OSError, ValueError, LookupError, AttributeError):
        complete = False
    if not complete:
        raise StepFailed(f"{folder} is no finished evaluation (metrics.json); make it with scripts/evaluate")
    return found


def _training(model: Path) -> dict[str, Any]:
    """The content of training.json. Raises StepFailed for a folder that is no model."""
    needed = {
        "config.json": "give a folder in Hugging Face format",
        "training.json": "scripts/train writes it; for a model from elsewhere write {} into it and give --licence",
    }
    for name, advice in needed.items():
        if not (model / name).is_file():
            raise StepFailed(f"{model} holds no {name}; {advice}")
    if not any(model.glob("*.safetensors")):
        raise StepFailed(f"{model} holds no weights (*.safetensors)")
    try:
        found = json.loads((model / "training.json").read_bytes())
    except ValueError:
        raise StepFailed(f"{model / 'training.json'} cannot be read; train again, or write {{}} into it") from None
    return found if isinstance(found, dict) else {"runs": found}


def _data(training: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """What is known of the data: what training recorded, and the manifest of its folder if that is still there."""
    recorded: dict[str, Any] = dict(training.get("data") or {})
    manifest = (folder or Path(str(recorded.get("path", "")))) / "manifest.json"
    if not manifest.is_file():
        if folder is not None:
            raise StepFailed(f"{folder} is no finished prepared folder (no manifest.json)")
        return recorded
    digest = sha256(manifest)
    if recorded.get("sha256") not in (None, digest):
        if folder is not None:
            raise StepFailed(f"{folder} is not the data that the model was trained on (its manifest has changed)")
        return recorded
    found = json.loads(manifest.read_bytes())
    counts = found.get("counts") or {}
    known = {"splits": found.get("splits"), "licences": counts.get("licences"), "counts": counts}
    languages = sorted(counts.get("languages") or {}, key=lambda tag: -counts["languages"][tag])
    told = {"path": str(manifest.parent), "sha256": digest, "languages": [tag for tag in languages if tag != "und"]}
    return recorded | told | {name: value for name, value in known.items() if value}
