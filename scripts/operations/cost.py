"""Compute what a deployment costs: a turn, a month without one, and months with 1,000 to 10,000,000 of them.

What a turn does is what the stages do: tests hold the table below to the AWS calls that they record. Prices stand in
prices.json, with their date. GPU seconds are the owner's to measure: --gpu-seconds is what one turn takes of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.deployment.watching import ALARMS

PRICES = Path(__file__).with_name("prices.json")
MONTH_SECONDS = 30 * 24 * 3600
USUAL_INSTANCES = ("ml.g4dn.xlarge", "ml.g6.xlarge", "ml.g5.xlarge")
"""Shown beside the one that is asked for: the smallest with a GPU."""

VOLUMES = (1_000, 100_000, 10_000_000)

MEMORY_GB = 0.5
POLLERS = 5
"""With how many pollers Lambda watches a queue that is empty; each asks every 20 seconds."""
SWEEPS = MONTH_SECONDS // 60
IMAGE_GB = 3.5
"""The model server's image as ECR stores it: torch with its CUDA libraries is most of it. An estimate."""
ALARM_METRICS = sum(len(a.metrics) + len(a.share_of) for a in ALARMS if a.usually == "on") + 1 + 2
"""Metrics in alarms, each of which CloudWatch charges: the stack's, the one that wakes the model up, and the two that
Application Auto Scaling makes for the backlog."""

TURN: Mapping[str, float] = {
    "api_gateway_request": 1,
    "lambda_request": 4,
    "sqs_fifo_request": 2 + 2 + 2,  # sent by receive and reply; received and deleted by Lambda, for each
    "sqs_standard_request": 2,  # received and deleted; SNS's delivery is free
    "sns_publish": 1,
    "dynamodb_read_unit": 3 + 3 + 1,  # forty messages for think, and for reply; deliver's turns
    # think's five items and reply's four in transactions (the user's allowance is one of each), deliver's mark; then
    # the indexes: user-conversations moves with every write of the state (2, 2), open-turns with the turn's beginning,
    # answer and end (1, 2, 1)
    "dynamodb_write_unit": 2 * 5 + 2 * 4 + 1 + 2 + 2 + 1 + 2 + 1,
    "s3_put": 1,  # SageMaker's own copy of the result
}
"""What a one-step turn on a channel is billed for, in units of prices.json. Text of a few hundred characters."""

OWN_SECONDS = {"receive": 0.0005, "think": 0.0005, "reply": 0.0005, "deliver": 0.001}
"""Each function's own time, warm, as `scripts/bench pipeline` measures it (2026-11-25; deliver's without its wait)."""
AWS_CALLS = {"receive": 1, "think": 3, "reply": 3, "deliver": 2}
CALL_SECONDS, CHANNEL_SECONDS = 0.010, 0.150
"""What a call of AWS, and of a channel's API, takes: an estimate, until your dashboard shows the durations."""
FUNCTION_SECONDS = {
    name: own + AWS_CALLS[name] * CALL_SECONDS + (CHANNEL_SECONDS if name == "deliver" else 0.0)
    for name, own in OWN_SECONDS.items()
}

LOG_BYTES = 4_500
"""Log lines of a turn, metrics included."""


@dataclass(frozen=True)
class Traffic:
    """How the deployment is used. Seconds are of one instance of `instance`."""

    instance: str = "ml.g6.xlarge"
    gpu_seconds: float = 1.0
    wake_ups_a_day: float = 4.0
    start_seconds: float = 420.0
    tail_seconds: float = 900.0


def load_prices(path: Path = PRICES) -> dict[str, Any]:
    """The price table."""
    prices: dict[str, Any] = json.loads(path.read_text())
    return prices


def turn(prices: Mapping[str, Any], seconds: float = sum(FUNCTION_SECONDS.values())) -> dict[str, float]:
    """USD of one one-step turn by what is billed, the GPU and logs apart."""
    cost = {name: count * float(prices[name]["price"]) for name, count in TURN.items()}
    return cost | {"lambda_gb_second": seconds * MEMORY_GB * float(prices["lambda_gb_second"]["price"])}


def idle_month(prices: Mapping[str, Any], free_tier: bool) -> dict[str, float]:
    """USD of a month in which nobody talks, by what is billed; with AWS's always-free amounts taken off, or without."""
    free = prices["free_each_month"] if free_tier else {}
    polls = POLLERS * MONTH_SECONDS / 20
    unpaid = max(0.0, 1 - free.get("sqs_requests", 0) / (3 * polls))
    requests = max(0, SWEEPS - free.get("lambda_requests", 0))
    gb_seconds = max(0.0, SWEEPS * 0.05 * MEMORY_GB - free.get("lambda_gb_seconds", 0))
    price = {name: float(e["price"]) for name, e in prices.items() if isinstance(e, dict) and "price" in e}
    return {
        "polling of three queues": polls * unpaid * (2 * price["sqs_fifo_request"] + price["sqs_standard_request"]),
        "the sweep, every minute": requests * price["lambda_request"] + gb_seconds * price["lambda_gb_second"],
        "the sweep's look into the table": SWEEPS * price["dynamodb_read_unit"],
        "alarms": max(0, ALARM_METRICS - free.get("alarms", 0)) * price["alarm_month"],
        "dashboard": max(0, 1 - free.get("dashboards", 0)) * price["dashboard_month"],
        "the model server's image": IMAGE_GB * price["ecr_gb_month"],
    }


def wake_up(prices: Mapping[str, Any], traffic: Traffic) -> tuple[float, float]:
    """USD of one wake-up, and how much of it is the tail: the idle time after the last answer."""
    a_second = prices["instances_per_hour"][traffic.instance] / 3600
    return (traffic.start_seconds + traffic.tail_seconds) * a_second, traffic.tail_seconds * a_second


def month(prices: Mapping[str, Any], turns: int, traffic: Traffic) -> dict[str, float]:
    """USD of a month with so many turns. An instance is never paid for more than the month has seconds."""
    one = sum(turn(prices).values())
    a_second = prices["instances_per_hour"][traffic.instance] / 3600
    awake = traffic.wake_ups_a_day * 30 * (traffic.start_seconds + traffic.tail_seconds)
    busy = turns * traffic.gpu_seconds
    # More work than one instance has seconds for is done by several, each as long as it is busy.
    gpu = max(busy, min(busy + awake, MONTH_SECONDS)) * a_second
    return {
        "idle": sum(idle_month(prices, free_tier=False).values()),
        "turns": turns * one,
        "logs": turns * LOG_BYTES / 1e9 * float(prices["logs_gb"]["price"]),
        "gpu": gpu,
    }


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or 2 for wrong use."""
    prices = load_prices()
    traffic, as_json = _read(arguments, prices)
    result = report(prices, traffic)
    print(json.dumps(result) if as_json else draw(prices, traffic, result))
    return 0


def report(prices: Mapping[str, Any], traffic: Traffic) -> dict[str, Any]:
    """Every figure."""
    whole, tail = wake_up(prices, traffic)
    return {
        "prices": prices["date"],
        "million_turns": {name: 1e6 * cost for name, cost in turn(prices).items()},
        "idle_month": idle_month(prices, free_tier=False),
        "idle_month_after_free_tier": idle_month(prices, free_tier=True),
        "wake_up": {"whole": whole, "tail": tail},
        "months": {
            instance: {str(turns): month(prices, turns, replace(traffic, instance=instance)) for turns in VOLUMES}
            for instance in dict.fromkeys((*USUAL_INSTANCES, traffic.instance))
        },
        "idle_peers": prices["idle_peers"],
    }


def draw(prices: Mapping[str, Any], traffic: Traffic, result: Mapping[str, Any]) -> str:
    """The same as tables."""
    lines = [f"Prices of {prices['date']}, {prices['region']}, in {prices['currency']}.", ""]
    lines += _table("A million one-step turns, without GPU and logs", result["million_turns"])
    lines += _table("A month in which nobody talks", result["idle_month"])
    lines += _table("The same after AWS's always-free amounts", result["idle_month_after_free_tier"])
    woken = result["wake_up"]
    lines.append(
        f"A wake-up of {traffic.instance}: {woken['whole']:.2f}, of which {woken['tail']:.2f} is the tail of "
        f"{traffic.tail_seconds:.0f} s after the last answer (KeepWarmSeconds changes it)."
    )
    lines += ["", f"{'A month with turns':<24}" + "".join(f"{turns:>16,}" for turns in VOLUMES)]
    for instance, months in result["months"].items():
        for part in ("turns", "logs", "gpu"):
            lines.append(f"{instance + ', ' + part:<24}" + "".join(f"{m[part]:>16,.2f}" for m in months.values()))
        lines.append(f"{instance + ', in all':<24}" + "".join(f"{sum(m.values()):>16,.2f}" for m in months.values()))
    lines.append(f"({traffic.gpu_seconds:g} GPU seconds a turn, {traffic.wake_ups_a_day:g} wake-ups a day)")
    lines += ["", "What others cost in a month in which nobody talks, by their own documents and users:"]
    lines += [f"  {peer['name']:<24} {peer['usd_a_month']} ({peer['why']})" for peer in prices["idle_peers"]]
    return "\n".join(lines)


def _table(title: str, rows: Mapping[str, float]) -> list[str]:
    body = [f"  {name:<34} {value:>9.2f}" for name, value in rows.items()]
    return [title, *body, f"  {'in all':<34} {sum(rows.values()):>9.2f}", ""]


def _read(arguments: Sequence[str], prices: Mapping[str, Any]) -> tuple[Traffic, bool]:
    usual = Traffic()
    parser = argparse.ArgumentParser(
        prog="scripts/cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--instance-type", choices=sorted(prices["instances_per_hour"]), default=usual.instance)
    add("--gpu-seconds", type=_amount, default=usual.gpu_seconds, help="of one instance, for a turn (default: 1)")
    add("--wake-ups", type=_amount, default=usual.wake_ups_a_day, help="a day (default: 4)")
    add("--start-seconds", type=_amount, default=usual.start_seconds, help="from alarm to answer (default: 420)")
    add("--tail-seconds", type=_amount, default=usual.tail_seconds, help="idle after the last answer (default: 900)")
    add("--json", action="store_true", help="print every figure as JSON")
    o = parser.parse_args(arguments)
    return Traffic(o.instance_type, o.gpu_seconds, o.wake_ups, o.start_seconds, o.tail_seconds), o.json


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
