"""Show one turn's path through every stage, from its log lines: when each stage had it, and what came of it.

A turn is named by its trace (the correlation id of its log lines), or by CONVERSATION#TURN. No line holds message text.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parley.aws.table import Table
from scripts.deployment.arguments import add_deployment, explain, say
from scripts.operations.place import Place, open_place

PROGRAM = "logs"
STAGES = ("receive", "think", "reply", "deliver", "sweep")
ALWAYS = {
    "level",
    "message",
    "timestamp",
    "service",
    "stage",
    "request_id",
    "correlation_id",
    "conversation",
    "location",
}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when there is nothing to show; 2 with one line that says what to do."""
    parser = argparse.ArgumentParser(
        prog="scripts/logs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turn", required=True, metavar="ID", help="a trace, or CONVERSATION#TURN")
    parser.add_argument("--hours", type=float, default=24, help="how far to look back (default: 24)")
    parser.add_argument("--file", type=Path, help="read this log file (of scripts/run: .parley/logs/...) instead")
    add_deployment(parser)
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    options = parser.parse_args(arguments)
    with explain(PROGRAM) as outcome:
        if options.file is not None:
            lines = from_file(options.file, options.turn)
        else:
            place = open_place(options)
            lines = from_cloudwatch(place, _trace(place, options.turn), options.hours)
        found = sorted(lines, key=lambda line: str(line.get("timestamp", "")))
        if options.json:
            print(json.dumps(found, ensure_ascii=False))
        else:
            print("\n".join(draw(found)) if found else "", end="\n" if found else "")
        if not found:
            say(PROGRAM, f"no line of {options.turn} in the last {options.hours:g} hours")
            outcome.status = 1
    return outcome.status


def from_cloudwatch(place: Place, trace: str, hours: float) -> Iterator[dict[str, Any]]:
    """The turn's lines in the log groups of all stages."""
    start = int((time.time() - hours * 3600) * 1000)
    for stage in STAGES:
        client = place.client("logs")
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=f"/parley/{place.stack}/{stage}", startTime=start, filterPattern=f'"{trace}"'
        )
        try:
            for page in pages:
                yield from _matching((event["message"] for event in page["events"]), trace)
        except client.exceptions.ResourceNotFoundException:
            continue  # the stage has not run yet


def from_file(file: Path, trace: str) -> Iterator[dict[str, Any]]:
    """The turn's lines in a log file."""
    with file.open(encoding="utf-8", errors="replace") as opened:
        yield from _matching(opened, trace)


def draw(lines: list[dict[str, Any]]) -> Iterator[str]:
    """A line for a line: seconds since the first, the stage, what happened, and its facts."""
    first = _seconds(lines[0])
    for line in lines:
        facts = " ".join(f"{name}={value}" for name, value in line.items() if name not in ALWAYS)
        stage, level = line.get("stage", "?"), str(line.get("level", ""))
        mark = "" if level == "INFO" else f"[{level}] "
        yield f"{_seconds(line) - first:9.3f} s  {stage:<8} {mark}{line.get('message', '')}  {facts}".rstrip()


def read_lines(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The log lines among these texts, as JSON objects; what is none is passed over."""
    for text in texts:
        start = text.find("{")
        try:
            line = json.loads(text[start:]) if start >= 0 else None
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            yield line


def _matching(texts: Iterable[str], trace: str) -> Iterator[dict[str, Any]]:
    lines = read_lines(text for text in texts if trace in text)
    return (line for line in lines if line.get("correlation_id") == trace)


def _trace(place: Place, turn: str) -> str:
    """The trace of a turn that may be named by its conversation and number."""
    conversation, sign, number = turn.rpartition("#")
    if not sign or not number.isdecimal():
        return turn
    found = Table(place.client("dynamodb"), place.table, time.time).turn(conversation, int(number))
    return found.trace if found is not None else turn


def _seconds(line: dict[str, Any]) -> float:
    """When a line was written, in epoch seconds; Powertools writes `2026-11-24 06:31:12,123+0000`."""
    text = str(line.get("timestamp", "")).replace(",", ".").replace("Z", "+0000")
    for form in ("%Y-%m-%d %H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S.%f%z"):
        try:
            return datetime.strptime(text, form).astimezone(UTC).timestamp()
        except ValueError:
            continue
    return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
