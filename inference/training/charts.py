"""Plots as inline SVG and the page around them: one HTML file that loads nothing. Knows no data but numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 720
COLOURS = ("#2f6f9f", "#d9822b", "#3d8b5f", "#b3443f", "#7a5ca0", "#6b7280")

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;max-width:56rem;margin:2rem auto;padding:0 1rem;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}th{border-bottom:1px solid #c8ced6}
text{font:12px system-ui,sans-serif;fill:#1c2430}text.l{fill:#5b6572}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#e4e8ee}text{fill:#e4e8ee}text.l{fill:#9aa5b1}
th{border-color:#3a434d}}
"""


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole HTML document; each section is a heading and its HTML."""
    body = "\n".join(f"<h2>{escape(heading)}</h2>\n{content}" for heading, content in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as an HTML table; numbers stand to the right."""
    numeric = [all(isinstance(row[i], int | float) for row in rows) and bool(rows) for i in range(len(head))]
    css = [' class="n"' if is_numeric else "" for is_numeric in numeric]
    first = "".join(f"<th{c}>{escape(name)}</th>" for c, name in zip(css, head, strict=True))
    lines = ("".join(f"<td{c}>{escape(number(v))}</td>" for c, v in zip(css, row, strict=True)) for row in rows)
    return f"<table><tr>{first}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def bars(values: Mapping[str, float], unit: str = "") -> str:
    """One horizontal bar for each name, in the order given."""
    if not values:
        return "<p>nothing</p>"
    most = max(values.values()) or 1
    rows = []
    for i, (name, value) in enumerate(values.items()):
        y, length = 26 * i, max(1.0, (WIDTH - 320) * value / most)
        shown = f"{number(value)} {unit}".rstrip()
        rows.append(
            f'<text x="200" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="210" y="{y + 4}" width="{length:.1f}" height="18" fill="{COLOURS[0]}"/>'
            f'<text class="l" x="{216 + length:.1f}" y="{y + 17}">{escape(shown)}</text>'
        )
    return svg(26 * len(values) + 4, "".join(rows), "bars")


def histogram(values: Sequence[float], unit: str, bins: int = 30) -> str:
    """How often values of each size occur, from the least to the greatest."""
    if not values:
        return "<p>nothing</p>"
    low, high = min(values), max(values)
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    wide, tall = (WIDTH - 60) / bins, 150
    columns = "".join(
        f'<rect x="{50 + i * wide:.1f}" y="{10 + tall * (1 - n / max(counts)):.1f}" width="{wide - 1:.1f}" '
        f'height="{tall * n / max(counts):.1f}" fill="{COLOURS[0]}"><title>{n}</title></rect>'
        for i, n in enumerate(counts)
    )
    ends = (
        f'<text class="l" x="50" y="{tall + 28}">{number(low)}</text>'
        f'<text class="l" x="{WIDTH - 10}" y="{tall + 28}" text-anchor="end">{number(high)} {escape(unit)}</text>'
        f'<text class="l" x="44" y="20" text-anchor="end">{max(counts)}</text>'
    )
    return svg(tall + 36, columns + ends, "histogram")


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """One line for each name, through its (x, y) points; points that are not finite are left out."""
    drawn = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    points = [point for line in drawn.values() for point in line]
    if not points:
        return "<p>nothing</p>"
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    across, up = (WIDTH - 80) / ((right - left) or 1), 200 / ((high - low) or 1)
    parts = []
    for i, (name, line) in enumerate(drawn.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{60 + (x - left) * across:.1f},{210 - (y - low) * up:.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{WIDTH - 14}" y="{22 + 16 * i}" text-anchor="end" style="fill:{colour}">{escape(name)}</text>'
        )
    parts.append(
        f'<text class="l" x="54" y="20" text-anchor="end">{number(high)}</text>'
        f'<text class="l" x="54" y="210" text-anchor="end">{number(low)}</text>'
        f'<text class="l" x="60" y="230">{number(left)}</text>'
        f'<text class="l" x="{WIDTH - 14}" y="230" text-anchor="end">{number(right)} {escape(x_name)}</text>'
        f'<text class="l" x="60" y="8">{escape(y_name)}</text>'
    )
    return svg(238, "".join(parts), "lines")


def number(value: object) -> str:
    """A number for people; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def svg(height: int, content: str, name: str) -> str:
    """An SVG picture of the given height and content."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{name}">{content}</svg>'
    )
