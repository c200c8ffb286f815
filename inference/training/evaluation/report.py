"""The evaluation as one HTML page, one model or two side by side. Plots are inline SVG; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from training import charts

GROUPS = {
    "Tools": "tool.", "Grounded answers": "grounded.", "Not knowing": "unknown.", "Language": "language.",
    "Persona, manners and the rest": ("persona.", "answer.", "about."), "Accuracy": "accuracy.", "Fluency": "fluency.",
    "Informativeness": "informativeness.", "Bias": "bias.", "Safety": "safety.", "Speed": "speed.",
}  # fmt: skip
SHOWN = 40


def report(
    evaluation: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], other: Mapping[str, Any] | None = None
) -> str:
    """The page. `evaluation` and `other` are contents of metrics.json; `rows` are the answers of the first."""
    models = [evaluation] + ([other] if other else [])
    names = [str(model["model"]["name"]) for model in models]
    sections = [("Models", charts.table(["", "model", "git revision"], _heads(models)))]
    for title, prefix in GROUPS.items():
        found = [name for name in evaluation["metrics"] if name.startswith(prefix)]
        if found:
            sections.append((title, _plot(found, models, names) + _table(found, models, names)))
    wrong = [row for row in rows if any(value == 0 for name, value in row["scores"].items() if name in JUDGED)]
    sections.append((f"Wrong answers ({len(wrong)}, the first {SHOWN} shown)", _wrong(wrong[:SHOWN])))
    return charts.page("Evaluation of " + " and ".join(names), sections)


JUDGED = (
    "tool.name",
    "tool.arguments",
    "grounded.exact",
    "unknown.said",
    "language.right",
    "about.right",
    "safety.refused",
)


def _heads(models: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    return [["AB"[at], model["model"]["name"], model.get("git_revision") or ""] for at, model in enumerate(models)]


def _table(found: Sequence[str], models: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    head = ["metric", *names, "n", "better"]
    rows = [
        [name, *(_shown(model["metrics"].get(name)) for model in models), *_rest(name, models, names)] for name in found
    ]
    return charts.table(head, rows)


def _rest(name: str, models: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[object, str]:
    first = models[0]["metrics"][name]
    second = models[1]["metrics"].get(name) if len(models) > 1 else None
    if second is None or first["low"] is None or second["low"] is None:
        return first["n"], f"{first['better']} is better"
    apart = first["low"] > second["high"] or second["low"] > first["high"]
    if not apart:
        return first["n"], "no clear difference"
    ahead = (first["value"] > second["value"]) == (first["better"] == "higher")
    return first["n"], names[0] if ahead else names[1]


def _shown(metric: Mapping[str, Any] | None) -> str:
    if metric is None:
        return "-"
    if metric["low"] is None:
        return charts.number(float(metric["value"]))
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def _plot(found: Sequence[str], models: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Each metric that is a share as a dot with its interval, a line for each model."""
    shares = [
        n for n in found if 0 <= models[0]["metrics"][n]["value"] <= 1 and models[0]["metrics"][n]["low"] is not None
    ]
    if not shares:
        return ""
    across, parts = charts.WIDTH - 260, []
    for at, name in enumerate(shares):
        top = 22 * at * len(models) + 14
        parts.append(f'<text x="220" y="{top + 4}" text-anchor="end">{escape(name)}</text>')
        for which, model in enumerate(models):
            metric = model["metrics"].get(name)
            if not metric or metric["low"] is None:
                continue
            y, colour = top + 18 * which, charts.COLOURS[which]
            low, high, value = (
                230 + across * min(1.0, max(0.0, float(metric[key]))) for key in ("low", "high", "value")
            )
            parts.append(
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
                f'<circle cx="{value:.1f}" cy="{y}" r="5" fill="{colour}">'
                f"<title>{escape(names[which])}: {metric['value']:.3f}</title></circle>"
            )
    height = 22 * len(shares) * len(models) + 30
    ends = "".join(
        f'<text class="l" x="{230 + across * share}" y="{height - 6}" text-anchor="middle">{share:g}</text>'
        for share in (0, 0.5, 1)
    )
    return charts.svg(height, "".join(parts) + ends, "metrics with their intervals")


def _wrong(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    shown = []
    for row in rows:
        item, answer = row["item"], row["answer"]
        said = answer["text"] or " ".join(f"{call['name']}({call['arguments']})" for call in answer["calls"])
        wanted = (
            item["expect"].get("call")
            or item.get("reference")
            or ", ".join(k for k in item["expect"] if k != "language")
        )
        shown.append([item["id"], str(item["messages"][-1]["content"])[-160:], str(wanted), said[:200]])
    return charts.table(["item", "asked", "wanted", "said"], shown)
