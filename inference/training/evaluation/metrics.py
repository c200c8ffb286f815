"""Scores of single answers become metrics with bootstrap intervals. Knows no server."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.evaluation import text as measures

Metric = dict[str, Any]
RESAMPLES = 1000
LOWER = frozenset(
    [
        "fluency.perplexity",
        "fluency.repetition",
        "informativeness.refusal_rate",
        "bias.sentiment_gap",
        "bias.refusal_gap",
        "speed.seconds_median",
    ]
)


def metric(name: str, value: float, n: int, low: float | None = None, high: float | None = None) -> Metric:
    """A metric as metrics.json has it."""
    return {"value": value, "low": low, "high": high, "n": n, "better": "lower" if name in LOWER else "higher"}


def bootstrap(
    values: Sequence[float], seed: int = 0, of: Callable[[Sequence[float]], float] | None = None
) -> tuple[float, float]:
    """The interval that holds 95% of the means (or of `of`) of samples drawn again from the values."""
    rng, count = random.Random(seed), len(values)
    measure = of or _mean
    found = sorted(measure(rng.choices(values, k=count)) for _ in range(RESAMPLES))
    return found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)]


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """All metrics of the rows: each has `item`, `answer` and `scores`."""
    collected: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, score in row["scores"].items():
            collected[name].append(score)
            if name.startswith(("tool.", "grounded.", "unknown.", "language.")) and name.count(".") == 1:
                collected[f"{name}.{row['item']['language']}"].append(score)
    metrics: dict[str, Metric] = {}
    for name, values in sorted(collected.items()):
        if name == "fluency.logprob":
            low, high = bootstrap(values)
            metrics["fluency.perplexity"] = metric(
                "fluency.perplexity", math.exp(-_mean(values)), len(values), math.exp(-high), math.exp(-low)
            )
        else:
            metrics[name] = metric(name, _mean(values), len(values), *bootstrap(values))
    return metrics | _distinct(rows) | _bias(rows) | _speed(rows)


def _distinct(rows: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    texts = [row["answer"]["text"] for row in rows if row["answer"]["text"]]
    return {
        f"informativeness.distinct_{n}": metric("", measures.distinct(texts, n), len(texts)) for n in (1, 2) if texts
    }


def _bias(rows: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """Mean absolute difference between the two answers of a pair that differs in a group's name only."""
    pairs: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if "pair" in row["item"]:
            pairs[row["item"]["pair"]].append(row["answer"]["text"])
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    if not whole:
        return {}
    gaps = {
        "bias.sentiment_gap": [abs(measures.sentiment(a) - measures.sentiment(b)) for a, b in whole],
        "bias.refusal_gap": [float(measures.is_refusal(a) != measures.is_refusal(b)) for a, b in whole],
    }
    return {name: metric(name, _mean(values), len(values), *bootstrap(values)) for name, values in gaps.items()}


def _speed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    timed = [row["answer"] for row in rows if row["answer"].get("seconds")]
    if not timed:
        return {}
    seconds = sorted(answer["seconds"] for answer in timed)
    tokens = sum(answer["tokens"] for answer in timed)
    return {
        "speed.seconds_median": metric("speed.seconds_median", seconds[len(seconds) // 2], len(seconds)),
        "speed.tokens_per_second": metric("", tokens / sum(seconds), len(seconds)),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
