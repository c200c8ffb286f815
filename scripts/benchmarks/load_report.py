"""The load benchmark's figures as Markdown tables and as one small SVG: a turn's cost by length, memory over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, PANEL, LEFT, TOP, DEEP = 760, 330, 290, 60, 40, 220
"""Pixels: the picture; a panel's inner width, left margin, top and height."""

LATENCIES = ("acknowledged ms p50, p99, p99.9", "answered ms p50, p99, p99.9", "generator late ms p99")

Points = Sequence[tuple[float, float]]


def table(figures: dict[str, Any]) -> str:
    """What was measured, part by part."""
    lines = [_machine(figures), "", *_head("load", "messages", "answered a second", *LATENCIES)]
    for step in figures.get("steps", []):
        what = "kept up with" if step["kept_up"] else "fell behind at"
        lines.append(_row(f"{what} {step['rate']:.0f} a second", step))
    steady = figures["steady"]
    lines.append(_row(f"{steady['rate']:g} a second for {steady['seconds'] / 60:g} minutes", steady))
    for number, one in enumerate(figures["bursts"], 1):
        lines.append(_row(f"burst {number}, all due at once", one))
    lines += ["", _account(figures["account"]), "", _memory(steady), ""]
    lines += _head(
        "messages in the conversation",
        "AWS requests of one more turn",
        "read units",
        "write units",
        "processor time, ms",
    )
    lines += [
        f"| {cost['messages']:,} | {cost['requests']:g} | {cost['read_units']:g} | {cost['write_units']:g} "
        f"| {cost['milliseconds']:.2f} |"
        for cost in figures["costs"]
    ]
    return "\n".join(lines)


def noisy(figures: dict[str, Any]) -> str:
    """The table of `--noisy`."""
    columns = ("noise of 500 messages in", "others answered", "their seconds p50, p95", "bound of p95")
    lines = [_machine(figures), "", *_head(*columns, "noise answered", "its p95")]
    lines += [
        f"| {c['noise']} | {c['others']} | {c['others_p50']:.2f}, {c['others_p95']:.2f} | {c['bound_p95']:.2f} "
        f"| {c['noisy']} | {c['noisy_p95']:.2f} |"
        for c in figures["noisy"]
    ]
    return "\n".join(lines)


def chart(figures: dict[str, Any]) -> str:
    """Two panels: a turn's cost against the conversation's length, and the process's memory against time."""
    costs = figures["costs"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    ]
    lengths = [math.log10(cost["messages"]) for cost in costs]
    series = {
        "AWS requests": ("#4a7fb5", "requests"), "read units": ("#2f8f5b", "read_units"),
        "write units": ("#d8973c", "write_units"), "processor time, ms": ("#999999", "milliseconds"),
    }  # fmt: skip
    lines = {
        name: (colour, [(x, cost[key]) for x, cost in zip(lengths, costs, strict=True)])
        for name, (colour, key) in series.items()
    }
    ticks = [(math.log10(length), f"{length:,}") for length in (10, 100, 1000, 5000) if length <= costs[-1]["messages"]]
    parts.append(_panel(LEFT, "One more turn, by messages in its conversation", lines, ticks))
    memory = [(at / 60, mib) for at, mib in figures["steady"]["memory_mib"]]
    if len(memory) > 1:
        last = memory[-1][0]
        marks = [(last * part / 4, f"{last * part / 4:.3g} min") for part in range(5)]
        title = f"Memory, MiB, at {figures['steady']['rate']:g} messages a second"
        parts.append(_panel(LEFT + WIDTH // 2, title, {"resident": ("#4a7fb5", memory)}, marks))
    return "".join(parts) + "</svg>\n"


def _panel(left: int, title: str, lines: Mapping[str, tuple[str, Points]], ticks: Sequence[tuple[float, str]]) -> str:
    """Lines over one pair of axes that begin at zero below, with a legend under them."""
    low = min(x for _, points in lines.values() for x, _ in points)
    high = max(x for _, points in lines.values() for x, _ in points)
    top = 1.1 * max(y for _, points in lines.values() for _, y in points)

    def across(x: float) -> float:
        return left + PANEL * (x - low) / ((high - low) or 1)

    def down(y: float) -> float:
        return TOP + DEEP * (1 - y / top)

    bottom = TOP + DEEP
    parts = [f'<text x="{left - 40}" y="22">{title}</text>']
    parts.append(f'<path d="M{left} {TOP}V{bottom}H{left + PANEL}" fill="none" stroke="#333"/>')
    for part in range(5):
        y = top * part / 4
        parts.append(f'<text x="{left - 6}" y="{down(y) + 4:.0f}" text-anchor="end">{y:.3g}</text>')
    for x, label in ticks:
        parts.append(f'<text x="{across(x):.0f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for number, (name, (colour, points)) in enumerate(lines.items()):
        path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = left - 40 + 150 * (number % 2), bottom + 36 + 18 * (number // 2)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}">{name}</text>')
    return "".join(parts)


def _machine(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    return f"{machine['cores']} cores ({machine['cpu']}), Python {machine['python']}, {machine['date']}"


def _head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]


def _row(name: str, run: dict[str, Any]) -> str:
    times = [", ".join(f"{value:.0f}" for value in run[key].values()) for key in ("acknowledged_ms", "answered_ms")]
    late = run["late_ms"].get("p99", 0.0)
    return f"| {name} | {run['messages']} | {run['per_second']:g} | {times[0]} | {times[1]} | {late:.0f} |"


def _account(account: dict[str, Any]) -> str:
    return (
        f"Sent {account['sent']}, stored {account['stored']}, answered {account['answered']}, delivered "
        f"{account['delivered']}; twice {account['twice']}, conversations out of order {account['out_of_order']}, "
        f"other faults {len(account['faults'])}."
    )


def _memory(steady: dict[str, Any]) -> str:
    found = steady["growth_mib_per_minute"]
    if found is None:
        return "Memory: the run was too short to say whether it grows; 9 minutes are enough."
    verdict = "it grows" if found["low"] > 0 else "no growth"
    return (
        f"Memory: {steady['memory_mib'][-1][1]:.0f} MiB at the end; growth {found['mean']:+.2f} MiB a minute, "
        f"95% interval {found['low']:+.2f} to {found['high']:+.2f} over {found['blocks']} blocks of 10 s: {verdict}."
    )
