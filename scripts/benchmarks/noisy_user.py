"""How long 50 users with one message each wait while another sends 500 at once: in one conversation, or in 500.

The model computes for 20 ms and takes 8 requests at a time, so that waiting for it is part of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.open_loop import Due, OpenLoop, Times, thread_name
from scripts.benchmarks.running_system import RunningSystem
from scripts.benchmarks.slack_webhooks import SlackSide

OTHERS, OTHERS_SECONDS = 50, 2.0
NOISE, NOISY = 500, "UNOISY"
MODEL_MS = 20.0
ROUNDS = 3
SLACK_SECONDS = 1.0
"""What noise may add to the others' p95, beside the time in which it is taken in; without limits, is answered."""
QUIET_SECONDS = 5.0
"""When nothing is answered for so long, nothing more will be: what is over its user's limit is not."""


@dataclass(frozen=True)
class Case:
    """In how many conversations the noisy user writes, and whether a deployment's own limits hold."""

    name: str
    conversations: int
    limited: bool = False


CASES = [
    Case("no noise", 0),
    Case("one conversation", 1),
    Case("500 conversations", NOISE),
    Case("500 conversations, with a deployment's limits on a user", NOISE, limited=True),
]


def plan(noisy_conversations: int, series: str) -> list[Due]:
    """The others' messages, one after the other, and the noise, due at once."""
    quiet = [
        Due(index * OTHERS_SECONDS / OTHERS, thread_name(f"{series}1", index), 1, f"U{index}")
        for index in range(OTHERS)
    ]
    if not noisy_conversations:
        return quiet
    return quiet + [
        Due(0.0, thread_name(f"{series}2", index % noisy_conversations), index // noisy_conversations + 1, NOISY)
        for index in range(NOISE)
    ]


def measure(tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each case's figures: the others' time to answer over all rounds, the noisy user's, and the bound."""
    others = {case: Times() for case in CASES}
    noise = {case: Times() for case in CASES}
    with SlackSide() as slack, _system(slack) as free, _system(slack, "--limits") as limited:
        for number in range(ROUNDS):
            for place, case in enumerate(CASES):
                tell(f"round {number + 1} of {ROUNDS}: {case.name}")
                system = limited if case.limited else free
                loop = OpenLoop(system.url, plan(case.conversations, f"{number + 1}{place}"), workers=64)
                slack.heard = loop.hear
                loop.start()
                loop.wait(120, patience=QUIET_SECONDS)
                for user, times in loop.times.items():
                    (noise if user == NOISY else others)[case].add(times)
    return [figures(case, others[case], noise[case], others[CASES[0]]) for case in CASES]


def _system(slack: SlackSide, *more: str) -> RunningSystem:
    environment = {"SLACK_API_URL": slack.url, "POWERTOOLS_TRACE_DISABLED": "true"}
    return RunningSystem("scripts.benchmarks.load_system", environment, "--model-ms", str(MODEL_MS), *more)


def figures(case: Case, others: Times, noise: Times, alone: Times) -> dict[str, Any]:
    """One case, in seconds; `within` says that all others were answered and that their p95 kept the bound."""
    works_off = percentile(noise.acknowledged if case.limited else noise.answered, 0.95)
    bound = percentile(alone.answered, 0.95) + works_off + SLACK_SECONDS
    answered = len(others.answered) == OTHERS * ROUNDS
    return {
        "noise": case.name, "others": len(others.answered),
        "others_p50": percentile(others.answered, 0.5), "others_p95": percentile(others.answered, 0.95),
        "noisy": len(noise.answered), "noisy_p95": percentile(noise.answered, 0.95), "bound_p95": round(bound, 2),
        "within": answered and percentile(others.answered, 0.95) <= bound,
    }  # fmt: skip


def percentile(seconds: list[float], share: float) -> float:
    """Of some seconds; 0 of none."""
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0
