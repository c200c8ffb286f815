"""Simulate a scaling policy before paying for it: what it costs, and how long people wait.

Traffic is a file with one arrival a line, in seconds or as ISO times (2026-11-24T09:00:00), or made up: --a-day turns,
nine in ten in office hours. Each --policy is one row of the table, for instance
    --policy most=1,keep=600 --policy most=3,keep=1800,backlog=16 --policy warm=9-18
--validate compares the simulation with a real queue and workers at small scale.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.deployment.arguments import explain, say
from scripts.deployment.failures import DeploymentFailed
from scripts.operations.cost import load_prices
from scripts.operations.scaling import Endpoint, Engine, Outcome, Policy, mean, office_hours

PROGRAM = "simulate"
MOST_ARRIVALS = 2_000_000


class BadTraffic(DeploymentFailed):
    """The traffic file cannot be read; the text says which line, and what it should be."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when the validation fails; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        if options.validate:
            outcome.status = _validate(options)
        else:
            _simulate(options)
    return outcome.status


def _simulate(options: argparse.Namespace) -> None:
    made_up = not options.traffic
    arrivals = office_hours(options.a_day, options.days, options.seed) if made_up else read_traffic(options.traffic)
    engine = Engine(options.slots, options.seconds, options.gain, options.start_seconds)
    hourly = load_prices()["instances_per_hour"][options.instance_type]
    end = max(options.days * 86_400.0 if made_up else 0.0, arrivals[-1] if arrivals else 0.0)
    rows = []
    for text, policy in options.policy or [("most=1", Policy())]:
        say(PROGRAM, f"{len(arrivals)} turns under {text}")
        outcome = Endpoint(policy, engine, options.seed).run(arrivals, end)
        rows.append(figures(text, outcome, hourly))
    print(json.dumps(rows) if options.json else table(rows))


def figures(name: str, outcome: Outcome, hourly: float) -> dict[str, Any]:
    """A run's row."""
    days = max(outcome.seconds / 86_400, 1e-9)
    return {
        "policy": name, "turns": len(outcome.waits), "usd": outcome.cost(hourly),
        "usd_a_month": outcome.cost(hourly) / days * 30, "instance_hours": outcome.instance_seconds / 3600,
        "wake_ups": outcome.wake_ups, "cut": outcome.cut, "mean": mean(outcome.waits),
        **{f"p{share}": outcome.percentile(share / 100) for share in (50, 95, 99)},
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """All rows, for a person. Waits are seconds from a message to its answer."""
    names = ("turns", "USD/month", "hours", "woken", "p50 s", "p95 s", "p99 s", "cut")
    lines = [f"{'policy':<28}" + "".join(f"{name:>11}" for name in names)]
    for row in rows:
        waits = [f"{row[name]:,.1f}" for name in ("p50", "p95", "p99")]
        money = [
            f"{row['turns']:,}",
            f"{row['usd_a_month']:,.2f}",
            f"{row['instance_hours']:,.1f}",
            str(row["wake_ups"]),
        ]
        lines.append(f"{row['policy']:<28}" + "".join(f"{value:>11}" for value in [*money, *waits, str(row["cut"])]))
    return "\n".join(lines)


def read_traffic(file: Path) -> list[float]:
    """Arrivals in seconds; of ISO times, from the first one's midnight. Raises BadTraffic."""
    found: list[float] = []
    with file.open(encoding="utf-8", errors="replace") as opened:
        for number, line in enumerate(opened, 1):
            text = line.partition("#")[0].strip().partition(",")[0]
            if not text or (number == 1 and text.isalpha()):
                continue  # empty, or a heading
            found.append(_moment(text, file, number))
            if len(found) > MOST_ARRIVALS:
                raise BadTraffic(f"{file} has more than {MOST_ARRIVALS:,} arrivals; take a part of it")
    if found and found[0] > 1e9:
        midnight = min(found) // 86_400 * 86_400
        found = [at - midnight for at in found]
    return sorted(found)


def _moment(text: str, file: Path, number: int) -> float:
    try:
        at = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        except ValueError:
            at = -1.0
    if not 0 <= at < 1e11:
        raise BadTraffic(f"{file}, line {number}: {text[:40]!r} is neither seconds nor a time like 2026-11-24T09:00:00")
    return at


def compare(arrivals: Sequence[float], service: float, workers: int) -> tuple[list[float], list[float]]:
    """Waits of the same arrivals, in a real queue with real workers (the local stand-in), and simulated."""
    simulated = Endpoint(Policy(most=1, keep_warm=1e9), Engine(workers, service, 1e9), 1)
    return measure(arrivals, service, workers), simulated.run(arrivals, arrivals[-1], instances=1).waits


def measure(arrivals: Sequence[float], service: float, workers: int) -> list[float]:
    """Seconds from each request to its notification on the stand-in of the asynchronous endpoint."""
    from scripts.local.stand_in.endpoint import Bucket, echo
    from scripts.local.stand_in.endpoint import Endpoint as StandIn
    from scripts.local.stand_in.sqs import Sqs

    never, done, waits = threading.Event(), threading.Semaphore(0), []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        never.wait(service)
        waits.append(time.monotonic() - float(request["messages"][-1]["content"]))
        done.release()
        return echo(request)

    sqs = Sqs()
    sqs.create("replies")
    endpoint = StandIn(answer, Bucket(), sqs, "replies", workers)
    begun = time.monotonic()
    for number, at in enumerate(arrivals):
        never.wait(max(0.0, begun + at - time.monotonic()))
        body = json.dumps({"messages": [{"role": "user", "content": repr(time.monotonic())}]}).encode()
        endpoint.invoke_endpoint_async(
            EndpointName="e", InferenceId=str(number), Body=body, ContentType="application/json",
            Accept="application/json", CustomAttributes="", RequestTTLSeconds=60, S3OutputPathExtension=str(number),
        )  # fmt: skip
    for _ in arrivals:
        done.acquire()
    endpoint.stop()
    return waits


def _validate(options: argparse.Namespace) -> int:
    """Compare at three loads; 1 when a percentile is off by more than a quarter and 20 ms."""
    good, rows = True, []
    for load in (0.5, 0.8, 1.2):
        service, workers, seconds = 0.04, 4, 5.0
        draw = random.Random(options.seed)
        arrivals = sorted(draw.uniform(0, seconds) for _ in range(int(load * seconds * workers / service)))
        say(PROGRAM, f"{len(arrivals)} requests at {load:.0%} of what {workers} workers can do, {seconds:.0f} s")
        real, simulated = compare(arrivals, service, workers)
        for share in (0.5, 0.95):
            told, seen = Outcome(waits=simulated).percentile(share), Outcome(waits=real).percentile(share)
            close = abs(told - seen) <= 0.25 * max(told, seen) + 0.02
            good &= close
            rows.append({"load": load, "percentile": share, "simulated_s": told, "measured_s": seen, "close": close})
    if options.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            mark = "" if row["close"] else "  NOT CLOSE"
            print(
                f"load {row['load']:.0%} p{row['percentile'] * 100:.0f}: "
                f"simulated {row['simulated_s'] * 1000:6.0f} ms, measured {row['measured_s'] * 1000:6.0f} ms{mark}"
            )
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    usual = Engine()
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--traffic", type=Path, metavar="FILE", help="arrivals, one a line")
    add("--a-day", type=_number(0, 1e6), default=200, help="turns a day without a file (default: 200)")
    add("--days", type=int, choices=range(1, 366), metavar="1..365", default=14, help="of them (default: 14)")
    add(
        "--policy", type=_policy, action="append", metavar="NAME=VALUE,...", help="most, keep, backlog, warm=FROM-UNTIL"
    )
    add("--instance-type", choices=sorted(load_prices()["instances_per_hour"]), default="ml.g6.xlarge")
    add("--seconds", type=_number(0.001, 3600), default=usual.alone, help="of an answer, alone (default: 3)")
    add("--gain", type=_number(1, 1000), default=usual.gain, help="how many at once cost no time (default: 16)")
    add("--slots", type=int, choices=range(1, 1001), metavar="1..1000", default=usual.slots, help="requests at once")
    add(
        "--start-seconds",
        type=_number(1, 3600),
        default=usual.start,
        help="until a new instance answers (default: 360)",
    )
    add("--seed", type=int, default=1)
    add("--validate", action="store_true", help="compare with a real queue, some 15 seconds")
    add("--json", action="store_true", help="print figures as JSON")
    return parser


def _policy(text: str) -> tuple[str, Policy]:
    given: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        try:
            if name == "most":
                given["most"] = max(1, min(100, int(value)))
            elif name == "keep":
                given["keep_warm"] = _number(0, 86_400)(value)
            elif name == "backlog":
                given["backlog"] = _number(0.1, 10_000)(value)
            elif name == "warm":
                begin, _, end = value.partition("-")
                given["warm"] = (_number(0, 24)(begin) * 3600, _number(0, 24)(end) * 3600)
            else:
                raise ValueError
        except (ValueError, argparse.ArgumentTypeError):
            raise argparse.ArgumentTypeError(f"{pair!r}: give most=, keep=, backlog= or warm=FROM-UNTIL") from None
    return text, Policy(**given)


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: give a number from {least:g} to {most:g}")
        return value

    return read


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
