"""The model card of a version: Hugging Face's README.md, with what a reader has to know before using the model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def card(name: str, version: Mapping[str, Any], words: str) -> str:
    """The card; `version` is the content of version.json, `words` what the model's folder said of itself."""
    training, metrics = version["training"], version["metrics"]
    base = training.get("base_model")
    head = {
        "license": version["licence"],
        "language": version["languages"],
        **({"base_model": base} if base else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["parley"],
        "model-index": [{"name": name, "results": [_result(name, metrics)]}],
    }
    # JSON is YAML: no value can break the front matter
    front = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())
    data, settings = version["data"], training.get("settings") or {}
    own = FRONT_MATTER.sub("", words).strip()
    trained_at = training.get("git_revision") or "not recorded"
    sets = ", ".join(f"`{set_name}` ({digest[:12]})" for set_name, digest in version["sets"].items())
    return f"""---
{front}
---
# {name}, version {version["version"]}

- **Base model** {base or "none: trained from nothing"}, {training.get("method") or "method not recorded"}
- **Licence** {version["licence"]}
- **Data** {_data(data)}
- **Git revision** {version["git_revision"] or "not recorded"} (training: {trained_at})
- **Registered** {version["created"]} by {version["by"]}

## Metrics

Measured on {sets or "sets that are not recorded"}.

| metric | value | 95% interval | items | better |
| --- | --- | --- | --- | --- |
{_table(metrics)}

## Settings

```json
{json.dumps(settings, ensure_ascii=False, indent=1)}
```
{f"{chr(10)}## In its maker's words{chr(10)}{chr(10)}{own}{chr(10)}" if own else ""}"""


def _result(name: str, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": "Parley's evaluation sets", "type": "parley"},
        "metrics": [{"type": metric, "value": entry["value"]} for metric, entry in sorted(metrics.items())],
    }


def _table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(
        f"| {name} | {entry['value']:.4g} | {_interval(entry)} | {entry.get('n', '')} | {entry['better']} |"
        for name, entry in sorted(metrics.items())
    )


def _interval(entry: Mapping[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _data(data: Mapping[str, Any]) -> str:
    if not data:
        return "not recorded"
    told = [f"`{data.get('path')}`", f"manifest {str(data.get('sha256'))[:12]}"]
    if splits := data.get("splits"):
        told.append(f"{splits['train'].get('records', 0):,} records to learn from")
    if licences := data.get("licences"):
        told.append("licences: " + ", ".join(f"{n:,} {licence}" for licence, n in sorted(licences.items())))
    return "; ".join(told)
