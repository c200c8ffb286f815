"""Show who used how much of the model: turns, tokens, its device's seconds and what they cost, by channel or user.

Read from the log lines of answered turns, which hold counts and ids, and no text. The device's seconds are those that
went into an answer; idle time between answers is nobody's, and is not in the sum.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.deployment.arguments import add_deployment, explain, say
from scripts.operations.cost import load_prices
from scripts.operations.logs import read_lines
from scripts.operations.place import Place, open_place

PROGRAM = "usage"
BY = ("channel", "user", "conversation", "turn")
COUNTED = ("tokens_in", "tokens_out", "compute_ms")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 with one line that says what to do."""
    prices: Mapping[str, float] = load_prices()["instances_per_hour"]
    parser = argparse.ArgumentParser(
        prog="scripts/usage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", choices=BY, default="channel", help="what a row stands for (default: channel)")
    parser.add_argument("--hours", type=float, default=24, help="how far to look back (default: 24)")
    parser.add_argument("--most", type=int, default=20, help="rows, those with most seconds first (default: 20)")
    parser.add_argument("--instance-type", choices=sorted(prices), default="ml.g6.xlarge", help="for the price")
    parser.add_argument(
        "--file", type=Path, help="read this log file (of scripts/run: .parley/logs/lambda.log) instead"
    )
    add_deployment(parser)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    with explain(PROGRAM) as outcome:
        if options.file is not None:
            with options.file.open(encoding="utf-8", errors="replace") as opened:
                rows = summed(read_lines(opened), options.by, prices[options.instance_type])
        else:
            rows = summed(
                _from_cloudwatch(open_place(options), options.hours), options.by, prices[options.instance_type]
            )
        rows = rows[: max(1, options.most)]
        print(json.dumps(rows) if options.json else table(rows, options.by), end="\n" if rows or options.json else "")
        if not rows:
            say(PROGRAM, f"no turn was answered in the last {options.hours:g} hours")
    return outcome.status


def summed(lines: Iterable[Mapping[str, Any]], by: str, hourly: float) -> list[dict[str, Any]]:
    """A row for each value of `by`, those with most device seconds first."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        if line.get("message") != "turn answered":
            continue
        name = f"{line.get('conversation')}#{line.get('turn')}" if by == "turn" else str(line.get(by) or "unknown")
        sums[name]["turns"] += 1
        for count in COUNTED:
            value = line.get(count)
            sums[name][count] += value if isinstance(value, int) else 0
    rows = [
        {by: name, **{count: counts[count] for count in ("turns", *COUNTED[:2])},
         "seconds": counts["compute_ms"] / 1000, "usd": counts["compute_ms"] / 3_600_000 * hourly}
        for name, counts in sums.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["seconds"], str(row[by])))


def table(rows: list[dict[str, Any]], by: str) -> str:
    """The rows, for a person."""
    lines = [f"{by:<44}{'turns':>8}{'tokens in':>12}{'tokens out':>12}{'seconds':>11}{'USD':>10}"] if rows else []
    lines += [
        f"{row[by]:<44}{row['turns']:>8,}{row['tokens_in']:>12,}{row['tokens_out']:>12,}{row['seconds']:>11,.1f}"
        f"{row['usd']:>10,.4f}"
        for row in rows
    ]
    return "\n".join(lines)


def _from_cloudwatch(place: Place, hours: float) -> Iterator[dict[str, Any]]:
    """The lines of reply and sweep, which end turns."""
    client = place.client("logs")
    start = int((time.time() - hours * 3600) * 1000)
    for stage in ("reply", "sweep"):
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=f"/parley/{place.stack}/{stage}", startTime=start, filterPattern='"turn answered"'
        )
        try:
            for page in pages:
                yield from read_lines(event["message"] for event in page["events"])
        except client.exceptions.ResourceNotFoundException:
            continue  # the stage has not run yet


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
