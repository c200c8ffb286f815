"""`scripts/bench inference`: the engine of `inference/` beside its peers, in one run, on the same requests.

Peers: one-by-one `model.generate`, padded static batches, transformers' continuous batching (`generate_batch`).
Models have random weights of real architectures; prompts are 50 to 500 tokens, answers 16 to 128, nothing ends early.
Peers take turns; the figures are medians. One by one computes at most 8 requests, since more would only repeat its
rate: its latencies are those of a queue of 8. Other parts tell what reuse of prefixes saves, what reading short prompts
together and laying out weights gain, and set our server beside `transformers serve` over HTTP, which needs fastapi and
opentelemetry-api: `pip install --no-deps --target DIR fastapi opentelemetry-api`, then `--peers DIR`. Needs no network.

The full run on two CPU cores ends within about `--minutes` (default 15): every cell is measured once, then again
as often as fits. On a GPU: `scripts/bench inference --device cuda` (give it 60 minutes); there each peer serves the
workload once before it is timed, since two of them record CUDA graphs. `--quick` takes some seconds and shows only that
all works.

Exit status 1 means that greedy tokens differed in float32, or that a peer failed by anything but a lack of memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CPU = (["5M", "25M", "100M"], [1, 8, 32])
CUDA = (["0.6B", "4B", "8B", "Llama-8B"], [1, 16, 64, 256])
MOST_ALONE = 8
MOST_ROUNDS = 5
NO_MEMORY = "out of memory"


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, end with one line of JSON."""
    options = _options(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if options.device == "cuda" and not torch.cuda.is_available():
        print("bench: there is no CUDA device here; use --device cpu", file=sys.stderr)
        return 2
    from scripts.benchmarks.inference_choices import measure_choices
    from scripts.benchmarks.inference_prefixes import measure_reuse
    from scripts.benchmarks.inference_report import chart, table
    from scripts.benchmarks.inference_workload import SHAPES, copy_bandwidth

    if odd := [name for name in options.models if name not in SHAPES]:
        print(f"bench: no model {odd[0]!r}; there are: {', '.join(SHAPES)}", file=sys.stderr)
        return 2
    _tell("copy bandwidth")
    machine: dict[str, Any] = {
        "device": _device(options.device),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "copy_gb_s": round(copy_bandwidth(options.device) / 1e9, 1),
    }
    begun = time.monotonic()
    cells: list[dict[str, Any]] = []
    wanted = [(model, clients) for model in options.models for clients in options.clients]
    for number, (name, clients) in enumerate(wanted):
        left = options.minutes * 60 - (time.monotonic() - begun)
        cells += _cell(name, clients, options, machine["copy_gb_s"] * 1e9, left / (len(wanted) - number))
    _tell("reuse of prefixes")
    middle = options.models[min(1, len(options.models) - 1)]
    reuse = measure_reuse(middle, options.device, options.quick)
    _tell("prompts together, weights laid out")
    choices = measure_choices(middle, options.device, options.quick)
    _tell("servers over HTTP")
    number = min(1, len(options.clients) - 1)
    http = _http(options.models[0], options.clients[number], options)
    figures = {"machine": machine, "cells": cells, "reuse": reuse, "choices": choices, "http": http}
    text = table(figures)
    line = json.dumps(figures)
    print(text)
    print(line)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "inference.md").write_text(text + "\n")
        (options.out / "inference.json").write_text(line + "\n")
        (options.out / "inference.svg").write_text(chart(figures))
    bad = any(cell.get("failed", NO_MEMORY) != NO_MEMORY for cell in cells) or reuse["mismatches"] or http.get("failed")
    return int(bool(bad or (options.device == "cpu" and any(cell.get("mismatches") for cell in cells))))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench inference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", help="default: 5M 25M 100M on CPU, 0.6B 4B 8B Llama-8B on CUDA")
    parser.add_argument("--clients", nargs="+", type=int, help="default: 1 8 32 on CPU, 1 16 64 256 on CUDA")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long the run may take (default: 15)")
    parser.add_argument("--peers", type=Path, help="a folder with fastapi and opentelemetry-api")
    parser.add_argument("--quick", action="store_true", help="a tiny model, short requests, one round")
    parser.add_argument("--out", type=Path, help="a folder for table, JSON and chart")
    options = parser.parse_args(arguments)
    models, clients = (["tiny"], [1, 3]) if options.quick else (CPU if options.device == "cpu" else CUDA)
    options.models = options.models or models
    options.clients = options.clients or clients
    if min(options.clients) < 1:
        parser.error("--clients must be at least 1")
    return options


def _cell(
    name: str, clients: int, options: argparse.Namespace, bandwidth: float, seconds: float
) -> list[dict[str, Any]]:
    """All peers on one model with so many clients: rounds in turn until `seconds` are used."""
    from scripts.benchmarks.inference_peers import NAMES
    from scripts.benchmarks.inference_workload import Outcome, floor_seconds, make_model, requests

    try:
        model = make_model(name, options.device)
    except RuntimeError as error:
        return [{"model": name, "clients": clients, "peer": peer, "failed": _why(error)} for peer in NAMES]
    longest = (60, 20) if options.quick else (500, 128)
    work = requests(model, max(4, clients), seed=clients, longest=longest)
    floor = floor_seconds(model, work, clients, bandwidth)
    asked = sum(request.answer for request in work)
    runs: dict[str, list[Outcome]] = {}
    failed: dict[str, str] = {}
    begun = time.monotonic()
    for number in range(1 if options.quick else MOST_ROUNDS):
        spent = time.monotonic() - begun
        if number and spent * (number + 1) / number > seconds:
            break
        for peer in NAMES[:: 1 if number % 2 else -1]:  # the order alternates
            if peer in failed:
                continue
            _tell(f"{name}, {clients} clients, round {number + 1}: {peer}")
            outcome = _try(peer, model, work, clients, failed)
            if outcome is not None:
                runs.setdefault(peer, []).append(outcome)
    right = runs["one by one"][0].tokens if "one by one" in runs else []
    cells = [_figures(name, clients, peer, found, right, floor, asked) for peer, found in sorted(runs.items())]
    return cells + [{"model": name, "clients": clients, "peer": p, "failed": why} for p, why in failed.items()]


def _http(name: str, clients: int, options: argparse.Namespace) -> dict[str, Any]:
    from scripts.benchmarks.inference_http import measure_http

    try:
        return measure_http(name, clients, options.device, options.peers, options.quick)
    except (RuntimeError, OSError, KeyError) as error:  # the rest of the table stands without it
        return {"model": name, "clients": clients, "failed": f"{type(error).__name__}: {error}"[:300]}


def _try(name: str, model: Any, work: list[Any], clients: int, failed: dict[str, str]) -> Any:
    """A peer's outcome, or None and its name among the failed."""
    from scripts.benchmarks.inference_peers import opened
    from scripts.benchmarks.inference_workload import Request

    try:
        with opened(name, model, clients, MOST_ALONE) as peer:
            peer.run([Request(work[0].prompt[:64], 4)], 1)  # first calls choose kernels and make threads
            if model.device.type == "cuda":
                peer.run(work, clients)  # and record graphs, one for each shape that will come
            return peer.run(work, clients)
    except Exception as error:  # the others are measured all the same
        failed[name] = _why(error)
        _tell(f"{name} failed: {failed[name]}")
        return None


def _why(error: Exception) -> str:
    import torch

    lacking = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "can't alloc" in str(error)
    return NO_MEMORY if lacking else " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _device(kind: str) -> str:
    """The machine's name for the table, a GPU's memory with it."""
    import torch

    if kind != "cuda":
        return platform.processor() or "CPU"
    return f"{torch.cuda.get_device_name()} ({torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB)"


def _figures(
    name: str, clients: int, peer: str, found: list[Any], right: list[list[int]], floor: float, asked: int
) -> dict[str, Any]:
    """Medians over the rounds; `mismatches` counts answers that differ from `generate`'s."""
    rate = statistics.median(outcome.rate for outcome in found)
    return {
        "model": name,
        "clients": clients,
        "peer": peer,
        "rounds": len(found),
        "rates": [round(outcome.rate, 2) for outcome in found],
        "tokens_per_second": round(rate, 2),
        "share_of_floor": round(rate * floor / asked, 4),
        "first_ms_p50": _ms([quantile(outcome.first, 0.5) for outcome in found]),
        "first_ms_p95": _ms([quantile(outcome.first, 0.95) for outcome in found]),
        "latency_ms_p95": _ms([quantile(outcome.latency, 0.95) for outcome in found]),
        "compared": min(len(right), len(found[0].tokens)),
        "mismatches": sum(a != b for a, b in zip(right, found[0].tokens, strict=False)),
    }


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def _tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
