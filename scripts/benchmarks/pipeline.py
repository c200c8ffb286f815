"""`scripts/bench pipeline`: what a message costs on its path, and how many the path carries.

Requests are counted on the wire, by the servers that got them; the queues' own polling is listed apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.benchmarks import cold_start, handler_time
from scripts.benchmarks.running_system import RunningSystem
from scripts.benchmarks.slack_load import Outcome, SlackLoad
from scripts.benchmarks.slack_webhooks import SECRET, TOKEN, SlackSide

BUDGET_REQUESTS, BUDGET_HANDLER_MS, BUDGET_COLD_START = 9, 5.0, 1.5


def main(arguments: Sequence[str]) -> int:
    """Run the parts, print tables, end with one line of JSON; 1 when a message was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(prog="scripts/bench pipeline", description=__doc__)
    parser.add_argument("--conversations", type=int, default=200, help="users at once (default: 200)")
    parser.add_argument("--each", type=int, default=5, help="messages of each over the emulator (default: 5)")
    parser.add_argument("--each-stand-in", type=int, default=25, help="the same over the stand-in (default: 25)")
    parser.add_argument("--turns", type=int, default=20, help="turns whose requests are counted (default: 20)")
    parser.add_argument("--pairs", type=int, default=15, help="pairs of fresh processes (default: 15)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    figures["handler_ms"] = _handler()
    figures["own_ms"] = _own_times()
    figures["cold_start"] = _cold_start(options.pairs)
    figures["requests_per_turn"] = _requests(options.turns)
    emulator, figures["emulator_share"] = _emulator(options.conversations, options.each)
    figures["emulator"] = _figures(emulator)
    stand_in = _stand_in(options.conversations, options.each_stand_in)
    figures["stand_in"] = _figures(stand_in)
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n")
    return 0 if emulator.clean and stand_in.clean else 1


def _handler() -> float:
    """Part 1: the receive handler by itself."""
    tell("receive: 2,000 calls of the handler")
    median = handler_time.measure(2000)
    print(f"\nreceive handler's own time, warm, no network: {median:.2f} ms median (budget {BUDGET_HANDLER_MS} ms)")
    return round(median, 3)


def _own_times() -> dict[str, float]:
    """Part 1, continued: each function of a turn, for scripts/cost."""
    tell("functions: 300 turns over the stand-in")
    own = handler_time.measure_stages(300)
    print("own time of each function, median ms: " + ", ".join(f"{name} {ms:.2f}" for name, ms in own.items()))
    return {name: round(ms, 3) for name, ms in own.items()}


def _cold_start(pairs: int) -> dict[str, float]:
    """Part 2: its start."""
    tell(f"cold start: {pairs} pairs of fresh processes")
    cold = cold_start.measure(pairs)
    print(
        f"receive's imports and clients: {cold.receive_ms:.0f} ms against {cold.baseline_ms:.0f} ms for bare boto3 "
        f"with one client: {cold.ratio:.2f} times (budget {BUDGET_COLD_START})"
    )
    return {name: round(value, 3) for name, value in asdict(cold).items()}


def _requests(turns: int) -> dict[str, float]:
    """Part 3: one conversation, turn by turn, with the requests of the stages counted by service and operation."""
    with SlackSide() as slack, _system(slack) as system:
        _load(slack, system.url, 1, 2)  # secrets are read and clients made before the count begins
        system.take_ledger()
        _load(slack, system.url, 1, turns, "2")
        entries = system.take_ledger()
    counted: Counter[str] = Counter()
    polling = 0
    for entry in entries:
        if entry["caller"].startswith("parley-pump"):
            polling += entry["count"]
        elif not entry["caller"].startswith("parley-"):  # the endpoint's own uploads are SageMaker's, not ours
            counted[f"{entry['service']} {entry['operation']}"] += entry["count"]
    per_turn = {name: count / turns for name, count in sorted(counted.items())}
    print(f"\nAWS requests of a one-step turn, mean of {turns} (queues' polling apart: {polling / turns:.1f})")
    for name, count in per_turn.items():
        print(f"  {name:<40} {count:5.2f}")
    print(f"  {'in all':<40} {sum(per_turn.values()):5.2f}  (budget {BUDGET_REQUESTS})")
    return per_turn | {"total": sum(per_turn.values())}


def _emulator(conversations: int, each: int) -> tuple[Outcome, float]:
    """Part 4: through moto's server, and how much of the time was its own."""
    with SlackSide() as slack, _system(slack) as system:
        system.take_ledger()
        outcome = _load(slack, system.url, conversations, each)
        spent = sum(entry["seconds"] for entry in system.take_ledger())
    _show("over moto's server", outcome)
    share = spent / outcome.seconds
    print(f"  moto worked {spent:.1f} s of {outcome.seconds:.1f} s, one request at a time: {share:.0%}")
    return outcome, round(share, 3)


def _stand_in(conversations: int, each: int) -> Outcome:
    """Part 5: the same handlers, gateway and pump over the stand-in for queues, table and endpoint."""
    from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring

    with SlackSide() as slack, _quiet() as log:
        with StandInRuntime(StandInWiring(secrets={"bots/default/slack": slack.secret}), pollers=4) as runtime:
            sys.stdout = log
            outcome = _load(slack, runtime.url, conversations, each)
    _show("over the stand-in", outcome)
    return outcome


def _load(slack: SlackSide, url: str, conversations: int, each: int, series: str = "1") -> Outcome:
    tell(f"load: {conversations} conversations with {each} messages each")
    return SlackLoad(slack, url, conversations, each, series).run(seconds=600, progress=_progress)


def _system(slack: SlackSide) -> RunningSystem:
    environment = {"SLACK_SIGNING_SECRET": SECRET, "SLACK_BOT_TOKEN": TOKEN, "SLACK_API_URL": slack.url}
    return RunningSystem("scripts.benchmarks.echo_system", environment)


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Standard output for people again afterwards; the handlers' log lines go to nowhere meanwhile."""
    kept = sys.stdout
    with Path("/dev/null").open("w") as nowhere:
        try:
            yield nowhere
        finally:
            sys.stdout = kept


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r  {done:>6} of {total} answered", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done == total:
        print(f"  {done} of {total} answered", file=sys.stderr, flush=True)


def _show(where: str, outcome: Outcome) -> None:
    figures = _figures(outcome)
    print(f"\n{outcome.messages} messages {where}: {figures['messages_per_second']} a second")
    print(f"  acknowledged in {figures['acknowledged_ms_p50']} ms (p50), {figures['acknowledged_ms_p99']} ms (p99)")
    print(f"  answered in {figures['answered_ms_p50']} ms (p50), {figures['answered_ms_p99']} ms (p99)")
    print(f"  lost {outcome.lost}, twice {outcome.twice}, conversations out of order {outcome.out_of_order}")


def _figures(outcome: Outcome) -> dict[str, Any]:
    def ms(times: list[float], share: int) -> float:
        return round(statistics.quantiles(times, n=100)[share - 1] * 1000, 1) if len(times) > 1 else 0.0

    return {
        "messages": outcome.messages,
        "messages_per_second": round(outcome.messages / outcome.seconds, 1),
        "acknowledged_ms_p50": ms(outcome.acknowledged, 50),
        "acknowledged_ms_p99": ms(outcome.acknowledged, 99),
        "answered_ms_p50": ms(outcome.answered, 50),
        "answered_ms_p99": ms(outcome.answered, 99),
        "lost": outcome.lost,
        "twice": outcome.twice,
        "out_of_order": outcome.out_of_order,
    }


def tell(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
