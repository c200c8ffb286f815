"""Whether a model may take the place of the one in use: no metric may fall past its threshold. Reads no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import StepFailed

THRESHOLDS = Path(__file__).with_name("thresholds.json")

Metrics = Mapping[str, Mapping[str, Any]]


def load_thresholds(path: Path = THRESHOLDS) -> dict[str, dict[str, float]]:
    """How far each metric may fall: `{NAME or PREFIX.* or *: {"fall": absolute} or {"relative": share}}`, and beside it
    perhaps `"at_least"` (`"at_most"` where lower is better). Raises StepFailed."""
    try:
        found: dict[str, dict[str, float]] = json.loads(path.read_bytes())
        wrong = [n for n, rule in found.items() if not rule.keys() <= {"fall", "relative", "at_least", "at_most"}]
    except (OSError, ValueError, AttributeError) as error:
        raise StepFailed(f"{path} holds no thresholds ({error}); see training/registry/thresholds.json") from None
    if wrong:
        raise StepFailed(f"{path}: the threshold of {wrong[0]} must be fall, relative, at_least or at_most")
    return found


def falls(new: Metrics, old: Metrics | None, thresholds: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What speaks against the new model, one text for each metric; none: it may be promoted.

    `old` are the metrics of the version in use, None when there is none. A metric that the old one has and the new one
    lacks speaks against it, too.
    """
    found = []
    for name in sorted({*new, *(old or {})}):
        rule = rule_of(name, thresholds)
        if rule is None:
            continue
        if name not in new:
            found.append(f"{name} was not measured, and the version in use has it")
            continue
        value, higher = float(new[name]["value"]), new[name]["better"] == "higher"
        if value != value:
            found.append(f"{name} is no number")
            continue
        if "at_least" in rule and value < rule["at_least"]:
            found.append(f"{name} is {value:.4g}, below {rule['at_least']:g} by {rule['at_least'] - value:.4g}")
        if "at_most" in rule and value > rule["at_most"]:
            found.append(f"{name} is {value:.4g}, above {rule['at_most']:g} by {value - rule['at_most']:.4g}")
        if old is None or name not in old:
            continue
        if (items := new[name].get("n") or 0) < (had := old[name].get("n") or 0):
            found.append(f"{name} was measured on {items} items, that of the version in use on {had}")
            continue
        before = float(old[name]["value"])
        worse = before - value if higher else value - before
        allowed = rule["fall"] if "fall" in rule else rule.get("relative", float("inf")) * abs(before)
        if worse > allowed + 1e-12:
            found.append(
                f"{name} {'fell' if higher else 'rose'} from {before:.4g} to {value:.4g}, by {worse:.4g}; "
                f"at most {allowed:.4g} is allowed"
            )
    return found


def rule_of(name: str, thresholds: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """The threshold with the longest name that covers the metric; None where none does."""
    parts = name.split(".")
    for length in range(len(parts), -1, -1):
        key = name if length == len(parts) else ".".join([*parts[:length], "*"])
        if key in thresholds:
            return thresholds[key]
    return None
