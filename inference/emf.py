"""The engine's counters as CloudWatch's embedded metric format: one JSON line on stdout for each interval.

For SageMaker, where nobody scrapes /metrics. Source: CloudWatch's "Embedded metric format specification".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.engine import Engine

NAMESPACE = "Parley/Inference"

UNITS = {
    "Queue": "Count",
    "Running": "Count",
    "TokensIn": "Count",
    "TokensOut": "Count",
    "Faults": "Count",
    "Errors": "Count",
    "PrefixTokens": "Count",
    "PrefixLookups": "Count",
    "PrefixHits": "Count",
    "KvUse": "Percent",
    "TimeToFirstToken": "Milliseconds",
    "TimePerToken": "Milliseconds",
}


COUNTED = ("TokensIn", "TokensOut", "Faults", "PrefixTokens", "PrefixLookups", "PrefixHits")


@dataclass
class Reporter:
    """Writes what happened since its last line. Totals become differences, since CloudWatch adds them up itself."""

    engine: Engine
    model: str
    errors: Mapping[str, int] = field(default_factory=dict)
    """Errors that callers got so far, by code; somebody else counts them on."""

    def __post_init__(self) -> None:
        self._before = self._totals()
        self._errors_before = dict(self.errors)

    def line(self) -> str:
        """The next line, without a line end; means of times are left out when nothing was timed."""
        totals, errors = self._totals(), dict(self.errors)
        since = {key: totals[key] - self._before[key] for key in totals}
        codes = {code: count - self._errors_before.get(code, 0) for code, count in errors.items()}
        codes = {code: count for code, count in codes.items() if count}
        self._before, self._errors_before = totals, errors
        values: dict[str, float] = {
            "Queue": self.engine.waiting,
            "Running": self.engine.running,
            "KvUse": round(100 * self.engine.reserved / self.engine.capacity.tokens, 2),
            "Errors": sum(codes.values()),
            **{key: since[key] for key in COUNTED},
        }
        for name in ("TimeToFirstToken", "TimePerToken"):
            if since[f"{name}.count"]:
                values[name] = round(1000 * since[f"{name}.sum"] / since[f"{name}.count"], 3)
        return json.dumps({"_aws": _directive(list(values)), "Model": self.model, "ErrorCodes": codes, **values})

    def _totals(self) -> dict[str, float]:
        stats = self.engine.stats
        return {
            "TokensIn": stats.tokens_in,
            "TokensOut": stats.tokens_out,
            "Faults": stats.faults,
            "PrefixTokens": stats.reused,
            "PrefixLookups": stats.prefix_lookups,
            "PrefixHits": stats.prefix_hits,
            "TimeToFirstToken.sum": stats.first_token.total,
            "TimeToFirstToken.count": sum(stats.first_token.counts),
            "TimePerToken.sum": stats.per_token.total,
            "TimePerToken.count": sum(stats.per_token.counts),
        }


async def report(reporter: Reporter, seconds: float) -> None:
    """Print a line every so many seconds, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        print(reporter.line(), flush=True)


def _directive(names: list[str]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in names]
    return {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["Model"]], "Metrics": metrics}],
    }
