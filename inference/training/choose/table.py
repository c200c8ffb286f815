"""The table of candidates: each with its memory, the cheapest instance that has room, and its scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.choose.candidates import Candidate
from training.choose.memory import GIB, SERVE, TRAIN, Instance, fits, serving, training
from training.errors import StepFailed


def rows(
    candidates: Sequence[Candidate],
    instances: Mapping[str, Instance],
    prices: Mapping[str, float],
    scores: Mapping[str, Mapping[str, float]],
    versions: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One row for each candidate. `prices` are USD an hour by instance type, `scores` metrics by model name, `versions`
    those of a registry (version.json), each of which stands with the model that it was made from."""
    made = []
    for candidate in candidates:
        shape = candidate.shape()
        room = {name: fits(shape, instance) for name, instance in instances.items()}
        row = {
            "model": candidate.model, "licence": candidate.licence, "gated": candidate.gated,
            "parameters": shape.parameters, "context": shape.context,
            "languages": list(candidate.languages), "languages_in_all": candidate.languages_in_all,
            "serve_gib": {name: round(serving(shape, name) / GIB, 2) for name in SERVE},
            "train_gib": {name: round(training(shape, name) / GIB, 2) for name in TRAIN},
            "serve_on": {name: _cheapest(name, room, prices) for name in SERVE},
            "train_on": {name: _cheapest(name, room, prices) for name in TRAIN},
            "fits": {name: [way for way, is_room in ways.items() if is_room] for name, ways in room.items()},
            "scores": dict(_scores_of(candidate.model, scores)),
            "versions": [_version(v) for v in versions if v["training"].get("base_model") == candidate.model],
        }  # fmt: skip
        made.append(row)
    return sorted(made, key=lambda row: int(row["parameters"]))


def _version(version: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: float(metric["value"]) for name, metric in version["metrics"].items()}
    return {"name": version["name"], "version": version["version"], "scores": metrics}


def _cheapest(way: str, room: Mapping[str, Mapping[str, bool]], prices: Mapping[str, float]) -> dict[str, Any] | None:
    """The cheapest instance with room, one without a known price only where no other has any."""
    able = [name for name, ways in room.items() if ways[way]]
    if not able:
        return None
    name = min(able, key=lambda name: (name not in prices, prices.get(name, able.index(name))))
    return {"instance": name, "usd_per_hour": prices.get(name)}


def _scores_of(model: str, scores: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    return scores.get(model) or scores.get(model.split("/")[-1]) or {}


def read_scores(folders: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Metrics by model name, of evaluation folders. Raises StepFailed for a folder that is none."""
    found = {}
    for folder in folders:
        try:
            evaluation = json.loads((folder / "metrics.json").read_bytes())
            found[evaluation["model"]["name"]] = {n: float(m["value"]) for n, m in evaluation["metrics"].items()}
        except (OSError, ValueError, LookupError, TypeError):
            raise StepFailed(f"{folder} is no finished evaluation folder; make it with scripts/evaluate") from None
    return found


def draw(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], fit: str | None) -> str:
    """The rows for people; `metrics` are the columns behind."""
    head = [
        "model", "licence", "params", "context", "languages", "serve bf16", "int8", "LoRA bf16", "full fp32",
        "serve on", "USD/h", *metrics,
    ]  # fmt: skip
    lines = [head]
    for row in rows:
        place = row["serve_on"]["bfloat16"] if fit is None else {"instance": fit, "usd_per_hour": row["price"]}
        cost = place and place["usd_per_hour"]
        lines.append([
            row["model"].split("/")[-1], row["licence"] + ("*" if row["gated"] else ""), _short(row["parameters"]),
            f"{row['context']:,}", " ".join(row["languages"]) + _more(row), f"{row['serve_gib']['bfloat16']:.1f}",
            f"{row['serve_gib']['int8']:.1f}", f"{row['train_gib']['lora bfloat16']:.1f}",
            f"{row['train_gib']['full float32']:.1f}", place["instance"].removeprefix("ml.") if place else "-",
            f"{cost:.3f}" if cost else "-", *_scores(row["scores"], metrics),
        ])  # fmt: skip
        for version in row["versions"]:
            told = f"  {version['name']} {version['version']}"
            lines.append([told, *[""] * (len(head) - len(metrics) - 1), *_scores(version["scores"], metrics)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text)


def _short(count: int) -> str:
    return f"{count / 1e9:.2f}B" if count >= 999.5e6 else f"{count / 1e6:.0f}M"


def _more(row: Mapping[str, Any]) -> str:
    more = row["languages_in_all"] - len(row["languages"])
    return f" +{more}" if more else ""


def _scores(scores: Mapping[str, float], metrics: Sequence[str]) -> list[str]:
    return [f"{scores[name]:.3f}" if name in scores else "-" for name in metrics]
