"""`scripts/bench load`: what the path of a message carries, for how long, and whether anything is lost on it.

An open loop of Slack users: signed webhooks over real HTTP into the local gateway, the deployed handlers behind it fed
with real Lambda events, over the stand-ins for queues, table and endpoint, in a process of their own. The model says
again what it was asked, so that each answer names the messages that it is to. In order:

  1. the rate is raised by steps until the system falls behind; what it kept up with is the saturation rate;
  2. `--minutes` at 55% of that (or at `--rate`), with the process's memory watched;
  3. bursts of 2,000 messages over 500 conversations, all due at once;
  4. what one more turn costs in a conversation of 10 to 5,000 messages;
  5. the reconciliation of 2 and 3: sent = stored = answered = delivered, each conversation in order.

`--noisy` measures one thing instead: how long others wait while one user sends 500 messages.

Exit status 1 means that the reconciliation does not hold, that memory grows, that a turn costs more in a longer
conversation, or that others wait too long beside a noisy user.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.benchmarks import conversation_cost, load_report, noisy_user
from scripts.benchmarks.memory import Growth, MemoryWatch, growth
from scripts.benchmarks.open_loop import Due, OpenLoop, Times, burst, steady
from scripts.benchmarks.reconciliation import Account, reconcile
from scripts.benchmarks.running_system import RunningSystem
from scripts.benchmarks.slack_webhooks import SlackSide

CONVERSATIONS, BURST = 500, 2000
EACH = 4
"""Messages of a conversation before new ones take its place: what is over can be reconciled while the load goes on."""
SHARE = 0.55
FIRST_RATE, FACTOR, STEP_SECONDS, MOST_STEPS = 50.0, 1.4, 12.0, 10
BEHIND_SECONDS = 2.0
"""The system keeps up with a rate when the last answer comes this long after the last message was due, or sooner."""
WARM_SECONDS = 400.0
"""The stand-in's queues remember what they saw for five minutes, and a receipt of the outbox for six: until then the
process grows by what it has to keep."""
LONGEST_MINUTES = 60.0


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, end with one line of JSON."""
    options = _options(arguments)
    figures: dict[str, Any] = {"machine": machine()}
    if options.noisy:
        figures["noisy"] = noisy_user.measure(tell)
        text, clean = load_report.noisy(figures), all(cell["within"] for cell in figures["noisy"])
    else:
        clean = _load(figures, options)
        text = load_report.table(figures)
    line = json.dumps(figures)
    print(text)
    print(line)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        name = "noisy" if options.noisy else "load"
        (options.out / f"{name}.md").write_text(text + "\n")
        (options.out / f"{name}.json").write_text(line + "\n")
        if not options.noisy:
            (options.out / "load.svg").write_text(load_report.chart(figures))
    return 0 if clean else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of the steady load (default: 10)")
    parser.add_argument("--rate", type=float, help="messages a second of it (default: 55%% of the saturation rate)")
    parser.add_argument("--bursts", type=int, default=3, help="of 2,000 messages each (default: 3)")
    parser.add_argument(
        "--longest", type=int, default=5000, help="messages of the longest conversation (default: 5000)"
    )
    parser.add_argument(
        "--noisy", action="store_true", help="measure one noisy user beside 50 others, and nothing else"
    )
    parser.add_argument("--out", type=Path, help="a folder for table, JSON and chart")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= LONGEST_MINUTES:
        parser.error(f"--minutes must be over 0 and at most {LONGEST_MINUTES:.0f}")
    if options.rate is not None and not 0 < options.rate <= 1000:
        parser.error("--rate must be over 0 and at most 1000")
    if not 0 <= options.bursts <= 20:
        parser.error("--bursts must be from 0 to 20")
    if not 100 <= options.longest <= 20_000:
        parser.error("--longest must be from 100 to 20000")
    return options


def _load(figures: dict[str, Any], options: argparse.Namespace) -> bool:
    """Parts 1 to 5; whether all that was promised holds."""
    account = Account()
    with SlackSide() as slack:
        if options.rate is None:
            with system(slack) as running:
                figures["steps"] = _steps(slack, running)
            options.rate = round(
                SHARE * max((s["rate"] for s in figures["steps"] if s["kept_up"]), default=FIRST_RATE), 1
            )
        with system(slack) as running:
            figures["steady"] = measure_steady(slack, running, options.rate, options.minutes * 60, account)
            figures["bursts"] = [measure_burst(slack, running, index, account) for index in range(options.bursts)]
    lengths = [length for length in conversation_cost.LENGTHS if length < options.longest]
    tell(f"conversations of {lengths[0]} to {options.longest} messages")
    costs = conversation_cost.measure([*lengths, options.longest])
    figures["costs"] = [asdict(cost) for cost in costs]
    figures["account"] = {**asdict(account), "faults": account.faults[:20]}
    found: Growth | None = figures["steady"].pop("found")
    refused = figures["steady"]["refused"] + sum(one["refused"] for one in figures["bursts"])
    return account.clean and not refused and not (found and found.leaks) and conversation_cost.bounded(costs)


def _steps(slack: SlackSide, running: RunningSystem) -> list[dict[str, Any]]:
    """Part 1: each step's rate, what came of it, and whether the system kept up."""
    steps: list[dict[str, Any]] = []
    rate = FIRST_RATE
    while len(steps) < MOST_STEPS and (not steps or steps[-1]["kept_up"]):
        tell(f"{rate:.0f} messages a second for {STEP_SECONDS:.0f} s")
        series = f"1{len(steps):02d}"
        loop = run(slack, running, steady(rate, STEP_SECONDS, CONVERSATIONS, EACH, series), STEP_SECONDS * 5)
        times = loop.all_times()
        answered, planned = loop.progress
        kept_up = answered == planned and times.ended - STEP_SECONDS <= BEHIND_SECONDS
        steps.append({"rate": round(rate, 1), "kept_up": kept_up, **summary(times)})
        running.take_stored("slack:")
        rate *= FACTOR
    return steps


def measure_steady(
    slack: SlackSide, running: RunningSystem, rate: float, seconds: float, account: Account
) -> dict[str, Any]:
    """Part 2, with its part of the reconciliation; `found` is the growth of memory, None when it was too short."""
    tell(f"{rate:.0f} messages a second for {seconds / 60:.1f} minutes")
    plan = steady(rate, seconds, CONVERSATIONS, EACH, "2")
    loop = OpenLoop(running.url, plan)
    ends: dict[str, float] = {}
    for entry in plan:
        ends[entry.thread[:4]] = entry.at
    waiting = sorted(ends)
    watch = MemoryWatch(running.pid)

    def look(elapsed: float) -> None:
        """Progress; and what is long over is reconciled, and leaves the system's memory."""
        show(*loop.progress)
        if waiting and elapsed > ends[waiting[0]] + 10:
            reconcile(account, loop.threads, waiting.pop(0), running.take_stored)

    slack.heard = loop.hear
    watch.start()
    loop.start()
    loop.wait(seconds + 120, look)
    watch.stop()
    show(*loop.progress)
    for beginning in waiting:
        reconcile(account, loop.threads, beginning, running.take_stored)
    samples = [sample for sample in watch.samples if sample[0] <= seconds]
    found = growth([sample for sample in samples if sample[0] >= WARM_SECONDS])
    return {
        "rate": rate, "seconds": seconds, "found": found, **summary(loop.all_times()),
        "memory_mib": [[round(at), round(mib, 2)] for at, mib in samples[:: max(1, len(samples) // 120)]],
        "growth_mib_per_minute": asdict(found) if found else None,
    }  # fmt: skip


def measure_burst(
    slack: SlackSide,
    running: RunningSystem,
    index: int,
    account: Account,
    messages: int = BURST,
    conversations: int = CONVERSATIONS,
) -> dict[str, Any]:
    """Part 3, once, with its part of the reconciliation."""
    tell(f"burst {index + 1}: {messages} messages over {conversations} conversations")
    series = f"3{index:03d}"
    loop = run(slack, running, burst(messages, conversations, series), 300)
    reconcile(account, loop.threads, series, running.take_stored)
    return summary(loop.all_times())


def run(slack: SlackSide, running: RunningSystem, plan: list[Due], seconds: float) -> OpenLoop:
    """Send a plan and wait for its answers, for at most so long."""
    loop = OpenLoop(running.url, plan)
    slack.heard = loop.hear
    loop.start()
    loop.wait(seconds, lambda elapsed: show(*loop.progress))
    show(*loop.progress)
    return loop


def system(slack: SlackSide, *more: str) -> RunningSystem:
    """The system under load, in a process of its own; `more` are further arguments of load_system's."""
    # a tracer would look for an X-Ray daemon, which only Lambda has
    environment = {"SLACK_API_URL": slack.url, "POWERTOOLS_TRACE_DISABLED": "true"}
    return RunningSystem("scripts.benchmarks.load_system", environment, *more)


def summary(times: Times) -> dict[str, Any]:
    """A run's figures: latencies in milliseconds, from when each message was due."""
    answered = len(times.answered)
    return {
        "messages": len(times.acknowledged), "refused": times.refused, "answered": answered,
        "per_second": round(answered / times.ended, 1) if times.ended else 0.0,
        "acknowledged_ms": quantiles(times.acknowledged), "answered_ms": quantiles(times.answered),
        "late_ms": quantiles(times.late), "seconds_to_last_answer": round(times.ended, 1),
    }  # fmt: skip


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and p99.9 in milliseconds; of less than two values nothing."""
    ordered = sorted(seconds)
    if len(ordered) < 2:
        return {}
    return {
        name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }


def machine() -> dict[str, Any]:
    """What it ran on, and when."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores, "cpu": platform.processor() or platform.machine(), "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }  # fmt: skip


def tell(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def show(done: int, total: int) -> None:
    """A line that is written over, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r  {done:>6} of {total} answered", end="\n" if done == total else "", file=sys.stderr, flush=True)
