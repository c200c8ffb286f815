"""The inference benchmark's figures as a Markdown table and as a small SVG chart."""

from __future__ import annotations

from typing import Any

COLOURS = {"one by one": "#999999", "static batch": "#d8973c", "generate_batch": "#4a7fb5", "parley": "#2f8f5b"}


def table(figures: dict[str, Any]) -> str:
    """One line a model, number of clients and peer; then what reuse of prefixes saves."""
    machine = figures["machine"]
    lines = [
        f"{machine['device']}, {machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}, "
        f"copy bandwidth {machine['copy_gb_s']} GB/s",
        "",
        "| model | clients | peer | tokens/s | of one by one | of memory's floor | first token ms p50 (p95) "
        "| latency ms p95 | answers that differ |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in figures["cells"]:
        start = f"| {cell['model']} | {cell['clients']} | {cell['peer']} |"
        if "failed" in cell:
            lines.append(f"{start} failed: {cell['failed']} | | | | | |")
            continue
        alone = _rate(figures, cell["model"], cell["clients"], "one by one")
        ratio = f"{cell['tokens_per_second'] / alone:.2f}" if alone else ""
        lines.append(
            f"{start} {cell['tokens_per_second']:.0f} | {ratio} | {cell['share_of_floor']:.0%} | "
            f"{cell['first_ms_p50']:.0f} ({cell['first_ms_p95']:.0f}) | {cell['latency_ms_p95']:.0f} | "
            f"{cell['mismatches']} of {cell['compared']} |"
        )
    reuse = figures["reuse"]
    lines += [
        "",
        f"Reuse of prefixes, {reuse['model']}, {reuse['conversations']} conversations of {reuse['turns']} turns: "
        f"{reuse['seconds_off']:.2f} s without, {reuse['seconds_on']:.2f} s with ({reuse['time_saved']:.0%} saved); "
        f"median first token {reuse['first_ms_off']:.0f} ms without, {reuse['first_ms_on']:.0f} ms with; "
        f"{reuse['hit_rate']:.0%} of prompts hit, {reuse['tokens_reused']:.0%} of their tokens reused.",
    ]
    return "\n".join([*lines, "", _choices(figures["choices"]), "", _servers(figures["http"])])


def _choices(choices: dict[str, Any]) -> str:
    def told(kind: str) -> str:
        return ", ".join(f"{key.removeprefix(kind)}: {value}" for key, value in choices.items() if key.startswith(kind))

    text = f"Prompts read together, {choices['model']}, times as fast as apart: {told('together_')}."
    laid_out = told("laid_out_")
    return text + (f" Weights laid out, times as fast as they were, by rows: {laid_out}." if laid_out else "")


def _servers(http: dict[str, Any]) -> str:
    start = f"Servers over HTTP, {http['model']}, {http['clients']} clients: "
    told = [
        f"{peer} {http[peer]['tokens_per_second']:.0f} tokens/s, latency p95 {http[peer]['latency_ms_p95']:.0f} ms"
        for peer in ("parley", "transformers serve")
        if peer in http
    ]
    return start + "; ".join([*told, *(http[key] for key in ("missing", "failed") if key in http)]) + "."


def chart(figures: dict[str, Any]) -> str:
    """Bars of tokens a second, each model with its clients a group, as a share of the group's best."""
    groups = list(dict.fromkeys((cell["model"], cell["clients"]) for cell in figures["cells"]))
    height = 40 + 90 * len(groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" '
        f'font-size="13"><rect width="760" height="{height}" fill="white"/>'
        '<text x="10" y="22">Tokens a second; each group is scaled to its best</text>'
    ]
    for number, (model, clients) in enumerate(groups):
        top = 40 + 90 * number
        parts.append(f'<text x="10" y="{top + 40}">{model}, {clients} clients</text>')
        rates = {peer: _rate(figures, model, clients, peer) for peer in COLOURS}
        best = max([rate for rate in rates.values() if rate], default=1.0)
        for line, (peer, rate) in enumerate(rates.items()):
            y, width = top + 20 * line, 400 * (rate or 0.0) / best
            label = f"{rate:.0f} {peer}" if rate else f"{peer}: none"
            parts.append(f'<rect x="150" y="{y}" width="{width:.1f}" height="16" fill="{COLOURS[peer]}"/>')
            parts.append(f'<text x="{156 + width:.1f}" y="{y + 13}">{label}</text>')
    return "".join(parts) + "</svg>\n"


def _rate(figures: dict[str, Any], model: str, clients: int, peer: str) -> float | None:
    for cell in figures["cells"]:
        if (cell["model"], cell["clients"], cell["peer"]) == (model, clients, peer) and "failed" not in cell:
            return float(cell["tokens_per_second"])
    return None
