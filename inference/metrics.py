"""The engine's counters in Prometheus' text format (version 0.0.4). Only reads; knows no HTTP."""

from __future__ import annotations

from engine.engine import Engine
from engine.stats import Histogram


def render(engine: Engine | None, refused: dict[str, int]) -> str:
    """The text of /metrics; without an engine only that the model is not up."""
    lines: list[str] = []

    def add(name: str, kind: str, text: str, value: float) -> None:
        lines.extend([f"# HELP parley_{name} {text}", f"# TYPE parley_{name} {kind}", f"parley_{name} {value}"])

    add("up", "gauge", "1 while the model can answer.", int(engine is not None and engine.alive))
    _labelled(lines, "errors_total", "Requests answered with an error, by its code.", "code", refused)
    if engine is None:
        return "\n".join(lines) + "\n"
    stats = engine.stats
    add("queue", "gauge", "Sequences waiting for a row.", engine.waiting)
    add("running", "gauge", "Sequences holding a row.", engine.running)
    add("prompt_tokens_total", "counter", "Prompt tokens taken in.", stats.tokens_in)
    add("generated_tokens_total", "counter", "Tokens generated.", stats.tokens_out)
    add("prefix_tokens_total", "counter", "Prompt tokens reused instead of computed.", stats.reused)
    add("prefix_lookups_total", "counter", "Prompts that were looked up for reuse.", stats.prefix_lookups)
    add("prefix_hits_total", "counter", "Prompts that reused an earlier one's beginning.", stats.prefix_hits)
    add("prefills_total", "counter", "Prompts computed.", stats.prefills)
    add("steps_total", "counter", "Steps of the engine.", stats.steps)
    add("kv_tokens", "gauge", "Tokens of key and value memory promised to running sequences.", engine.reserved)
    add("kv_tokens_capacity", "gauge", "Tokens of key and value memory there are.", engine.capacity.tokens)
    add("kept_tokens", "gauge", "Tokens of finished sequences kept for reuse.", engine.kept)
    _labelled(lines, "sequences_total", "Ended sequences, by reason.", "reason", dict(stats.finished))
    _histogram(lines, "time_to_first_token_seconds", "From arrival to the first token.", stats.first_token)
    _histogram(lines, "time_per_token_seconds", "Mean of each sequence, after its first token.", stats.per_token)
    return "\n".join(lines) + "\n"


def _labelled(lines: list[str], name: str, text: str, label: str, values: dict[str, int]) -> None:
    lines.extend([f"# HELP parley_{name} {text}", f"# TYPE parley_{name} counter"])
    lines.extend(f'parley_{name}{{{label}="{key}"}} {count}' for key, count in sorted(values.items()))


def _histogram(lines: list[str], name: str, text: str, found: Histogram) -> None:
    lines.extend([f"# HELP parley_{name} {text}", f"# TYPE parley_{name} histogram"])
    counts = list(found.counts)
    below = 0
    for bound, count in zip(found.bounds, counts, strict=False):
        below += count
        lines.append(f'parley_{name}_bucket{{le="{bound}"}} {below}')
    total = sum(counts)
    lines.append(f'parley_{name}_bucket{{le="+Inf"}} {total}')
    lines.extend([f"parley_{name}_sum {found.total:.6f}", f"parley_{name}_count {total}"])
