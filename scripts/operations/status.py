"""Show how a deployment is: the endpoint, the queues and dead letters, alarms, today's turns and tokens.

On a terminal the table is drawn anew every few seconds until Ctrl-C; otherwise, or with --once, it is printed once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from scripts.deployment.arguments import add_deployment, explain
from scripts.operations.place import Place, lengths, open_place

PROGRAM = "status"
TODAY = {"TurnsAnswered": "reply", "TurnsFailed": "reply", "TokensIn": "reply", "TokensOut": "reply",
         "InstanceSeconds": "sweep"}  # fmt: skip
"""Parley's metrics that are summed since midnight UTC, and the stage that writes each."""
SECONDS = 10


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when something needs a person; 2 with one line that says what to do."""
    parser = argparse.ArgumentParser(
        prog="scripts/status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_deployment(parser)
    parser.add_argument("--once", action="store_true", help="print it once, also on a terminal")
    parser.add_argument("--json", action="store_true", help="print it once, as JSON")
    options = parser.parse_args(arguments)
    live = sys.stdout.isatty() and not (options.once or options.json)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        while True:
            found = look(place)
            outcome.status = 1 if trouble(found) else 0
            if options.json:
                print(json.dumps(found))
            else:
                print(("\x1b[H\x1b[2J" if live else "") + draw(place.stack, found), flush=True)
            if not live:
                break
            try:
                time.sleep(SECONDS)
            except KeyboardInterrupt:
                break
    return outcome.status


def look(place: Place) -> dict[str, Any]:
    """Everything that is shown. What cannot be told (no endpoint yet, a service that is not there) is None."""
    return {
        "endpoint": _endpoint(place),
        "queues": {queue.name: _queue(place, queue.url) for queue in place.queues},
        "dead_letters": {queue.name: _queue(place, queue.dead_letters_url)["waiting"] for queue in place.queues},
        "oldest": _oldest(place),
        "alarms": _alarms(place),
        "today": _today(place),
        "hourly": _hourly(place),
    }


def trouble(found: dict[str, Any]) -> list[str]:
    """What needs a person, in words."""
    words = [f"{count} dead letters of the {name}" for name, count in found["dead_letters"].items() if count]
    words += [f"alarm {name}" for name in found["alarms"] or []]
    endpoint = found["endpoint"]
    if endpoint is not None and endpoint["status"] in ("Failed", "OutOfService", "UpdateRollbackFailed"):
        words.append(f"the endpoint is {endpoint['status']}")
    return words


def draw(stack: str, found: dict[str, Any]) -> str:
    """The table."""
    endpoint = found["endpoint"]
    model = f"{endpoint['status']}, {endpoint['instances']} instances" if endpoint else "there is none yet"
    lines = [f"{stack:<24} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", f"{'model':<24} {model}"]
    for name, queue in found["queues"].items():
        waiting = f"{queue['waiting']} waiting, {queue['in_flight']} being handled"
        if found["oldest"].get(name):
            waiting += f", the oldest for {found['oldest'][name]:.0f} s"
        lines.append(f"{name:<24} {waiting}, {found['dead_letters'][name]} dead letters")
    today = found["today"]
    lines += [
        f"{name + ' today':<24} {'unknown' if today is None else format(round(today[name]), ',')}" for name in TODAY
    ]
    spent = "unknown" if today is None else f"{today['InstanceSeconds'] / 3600 * found['hourly']:,.2f} USD"
    lines.append(f"{'instances today':<24} {spent}")
    lines.append(f"{'needs a person':<24} {'; '.join(trouble(found)) or 'nothing'}")
    return "\n".join(lines)


def _endpoint(place: Place) -> dict[str, Any] | None:
    try:
        described = place.client("sagemaker").describe_endpoint(EndpointName=place.stack)
    except ClientError:
        return None
    variants = described.get("ProductionVariants") or [{}]
    return {"status": described["EndpointStatus"], "instances": sum(v.get("CurrentInstanceCount", 0) for v in variants)}


def _queue(place: Place, url: str) -> dict[str, int]:
    waiting, in_flight = lengths(place.client("sqs"), url)
    return {"waiting": waiting, "in_flight": in_flight}


def _oldest(place: Place) -> dict[str, float]:
    """Seconds that the oldest message of each queue has waited, as CloudWatch knew some minutes ago."""
    now = datetime.now(UTC)
    found = {}
    for queue in place.queues:
        try:
            points = place.client("cloudwatch").get_metric_statistics(
                Namespace="AWS/SQS", MetricName="ApproximateAgeOfOldestMessage", Period=60, Statistics=["Maximum"],
                Dimensions=[{"Name": "QueueName", "Value": queue.url.rpartition("/")[2]}],
                StartTime=now - timedelta(minutes=5), EndTime=now,
            )["Datapoints"]  # fmt: skip
        except ClientError:
            points = []
        if points:
            found[queue.name] = float(max(points, key=lambda point: point["Timestamp"])["Maximum"])
    return found


def _hourly(place: Place) -> float:
    """What an instance costs an hour, as the stack was told; 0 where nobody said."""
    if place.is_local:
        return 0.0
    (stack,) = place.client("cloudformation").describe_stacks(StackName=place.stack)["Stacks"]
    given = {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
    return float(given.get("InstanceUsdPerHour", 0))


def _alarms(place: Place) -> list[str] | None:
    """The names of the stack's alarms that ring; the one that starts the model is no trouble."""
    try:
        pages = (
            place.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(StateValue="ALARM", AlarmNamePrefix=f"{place.stack}-")
        )
        found = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    except ClientError:
        return None
    return sorted(name for name in found if "WaitingForTheModel" not in name)


def _today(place: Place) -> dict[str, float] | None:
    """Sums since midnight UTC."""
    now = datetime.now(UTC)
    queries = [
        {
            "Id": name.lower(),
            "MetricStat": {
                "Metric": {
                    "Namespace": "Parley",
                    "MetricName": name,
                    "Dimensions": [{"Name": "service", "Value": "parley"}, {"Name": "stage", "Value": stage}],
                },
                "Period": 86_400,
                "Stat": "Sum",
            },
        }
        for name, stage in TODAY.items()
    ]
    try:
        told = place.client("cloudwatch").get_metric_data(
            MetricDataQueries=queries, StartTime=now.replace(hour=0, minute=0, second=0, microsecond=0), EndTime=now
        )["MetricDataResults"]
    except ClientError:
        return None
    sums = {entry["Id"]: sum(entry["Values"]) for entry in told}
    return {name: float(sums.get(name.lower(), 0.0)) for name in TODAY}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
