"""Whether what was sent is what was stored, answered and delivered: every message once, each conversation in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.benchmarks.open_loop import NUMBER, Thread

TAKING_SECONDS = 15.0
"""How long a conversation whose answers all came may take to close its last turn in the table."""


@dataclass
class Account:
    """Messages at each point of the way, and what does not fit; `clean` when nothing does not."""

    sent: int = 0
    stored: int = 0
    answered: int = 0
    delivered: int = 0
    twice: int = 0
    out_of_order: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether sent = stored = answered = delivered, none twice and all in order."""
        return not (self.faults or self.twice or self.out_of_order) and (
            self.sent == self.stored == self.answered == self.delivered
        )

    def add(self, id: str, seen: Thread, kept: Mapping[str, Any] | None) -> None:
        """Take in one conversation: as its user saw it, and as the table kept it (None: it never came to rest)."""
        self.sent += len(seen.sent)
        self.delivered += len(seen.answered)
        self.twice += sum(count - 1 for count in Counter(n for answer in seen.heard for n in answer).values())
        if kept is None:
            self.faults.append(f"{id}: a turn stays open, or nothing is stored")
            return
        users = [(numbers(text)[0], turn) for text, turn in kept["users"]]
        answers = {number: numbers(text) for number, delivered, text in kept["turns"] if delivered}
        self.stored += len({number for number, _ in users})
        self.answered += sum(number in answers.get(turn, []) for number, turn in users)
        in_order = (
            [number for number, _ in users] == seen.sent,
            [answers[turn] for turn in sorted(answers)] == seen.heard,
            [n for answer in seen.heard for n in answer] == sorted(seen.answered),
        )
        if not all(in_order):
            self.out_of_order += 1


def numbers(text: str) -> list[int]:
    """The messages that a text names."""
    return [int(found) for found in NUMBER.findall(text)]


def reconcile(
    account: Account, threads: Mapping[str, Thread], beginning: str, take: Callable[[str], dict[str, Any]]
) -> None:
    """Account for the threads whose names begin so; `take` gives what is stored of conversations that rest."""
    chosen = {name: thread for name, thread in threads.items() if name.startswith(beginning) and thread.sent}
    kept: dict[str, Any] = {}
    deadline = time.monotonic() + TAKING_SECONDS
    while True:
        answer = take(f"slack:T1:C1/{beginning}")
        kept |= {id.rpartition("/")[2]: found for id, found in answer["taken"].items()}
        if len(kept) >= len(chosen) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for name, thread in chosen.items():
        account.add(name, thread, kept.get(name))
    surplus: Sequence[str] = sorted(kept.keys() - chosen.keys())
    account.faults += [f"{name}: stored, though never acknowledged" for name in surplus]
