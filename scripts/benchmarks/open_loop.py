"""An open loop of Slack users: each message is due at a time of its own, however long the answers take.

Latency counts from when a message was due, not from when it went out: a system that stalls is charged for all that
should have been sent meanwhile. Knows what was sent and heard; what is stored is `reconciliation`'s.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scripts.benchmarks.slack_webhooks import Webhooks, message

NUMBER = re.compile(r"message (\d+)")


@dataclass(frozen=True)
class Due:
    """A message: when it is due (seconds from the begin), its thread, its number there from 1 on, its user."""

    at: float
    thread: str
    number: int
    user: str


@dataclass
class Thread:
    """One conversation as its user saw it: the messages that were acknowledged, and what each answer was to."""

    sent: list[int] = field(default_factory=list)
    heard: list[list[int]] = field(default_factory=list)

    @property
    def answered(self) -> set[int]:
        """The messages that an answer named."""
        return {number for answer in self.heard for number in answer}


@dataclass
class Times:
    """Seconds from when a message was due, of each message: to its acknowledgement, and to its answer."""

    acknowledged: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """From when it was due to when it went out: what the generator itself was behind."""
    refused: int = 0
    ended: float = 0.0
    """When the last answer came, in seconds from the begin."""

    def add(self, other: Times) -> None:
        """Take another's in."""
        for name in ("acknowledged", "answered", "late"):
            getattr(self, name).extend(getattr(other, name))
        self.refused += other.refused
        self.ended = max(self.ended, other.ended)


class OpenLoop:
    """Sends `plan` with `workers` connections. A conversation's messages share one, so that their order is known.

    Every thread's name is its own: `heard` must be set as the Slack side's.
    """

    def __init__(self, gateway: str, plan: Iterable[Due], workers: int = 32) -> None:
        self._webhooks = Webhooks(gateway)
        self.threads: dict[str, Thread] = {}
        self.times: dict[str, Times] = {}
        self._due: dict[tuple[str, int], tuple[float, str]] = {}
        self._lanes: list[list[Due]] = [[] for _ in range(workers)]
        lane_of: dict[str, list[Due]] = {}
        for entry in sorted(plan, key=lambda entry: entry.at):  # a lane sends in its order
            self.threads.setdefault(entry.thread, Thread())
            self.times.setdefault(entry.user, Times())
            self._due[entry.thread, entry.number] = (entry.at, entry.user)
            lane_of.setdefault(entry.thread, self._lanes[len(lane_of) % workers]).append(entry)
        self._begin = 0.0
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._answers = 0
        self._senders: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to send, in background threads."""
        self._begin = time.monotonic()
        for lane in self._lanes:
            thread = threading.Thread(target=self._send_all, args=(lane,), daemon=True)
            self._senders.append(thread)
            thread.start()

    def wait(self, seconds: float, watch: Callable[[float], None] = lambda elapsed: None, patience: float = 60) -> None:
        """Until all that was acknowledged is answered, no answer came for `patience` after the last send, or `seconds`
        are over. `watch` is called about once a second, with the seconds since the begin."""
        quiet_since = time.monotonic()
        seen = -1
        while (elapsed := time.monotonic() - self._begin) < seconds:
            watch(elapsed)
            sending = any(sender.is_alive() for sender in self._senders)
            with self._changed:
                if not sending and self._answers >= self._acknowledged():
                    break
                if sending or self._answers != seen:
                    quiet_since, seen = time.monotonic(), self._answers
                elif time.monotonic() - quiet_since > patience:
                    break
                self._changed.wait(1.0)
        self._stopping.set()
        for sender in self._senders:
            sender.join()

    def hear(self, thread: str, text: str) -> None:
        """An answer has reached Slack."""
        now = time.monotonic() - self._begin
        known = self.threads.get(thread)
        if known is None:
            return
        numbers = [int(found) for found in NUMBER.findall(text)]
        with self._changed:
            before = known.answered
            known.heard.append(numbers)
            for number in numbers:
                if number not in before:
                    at, user = self._due[thread, number]
                    times = self.times[user]
                    times.answered.append(now - at)
                    times.ended = max(times.ended, now)
                    self._answers += 1
            self._changed.notify_all()

    def all_times(self) -> Times:
        """Those of all users together."""
        together = Times()
        for times in self.times.values():
            together.add(times)
        return together

    @property
    def progress(self) -> tuple[int, int]:
        """How many messages were answered, and how many there are in all."""
        return self._answers, len(self._due)

    def _acknowledged(self) -> int:
        return sum(len(times.acknowledged) for times in self.times.values())

    def _send_all(self, lane: Sequence[Due]) -> None:
        for entry in lane:
            wait = self._begin + entry.at - time.monotonic()
            if self._stopping.wait(max(0.0, wait)) if wait > 0 else self._stopping.is_set():
                return
            self._send(entry)

    def _send(self, entry: Due) -> None:
        begun = time.monotonic() - self._begin
        try:
            body = message(entry.thread, entry.number, entry.user, f"message {entry.number}")
            taken = self._webhooks.post(body) == 200
        except (OSError, http.client.HTTPException):
            taken = False
        now = time.monotonic() - self._begin
        with self._changed:
            times = self.times[entry.user]
            times.late.append(begun - entry.at)
            if not taken:
                times.refused += 1
                return
            times.acknowledged.append(now - entry.at)
            self.threads[entry.thread].sent.append(entry.number)


def steady(rate: float, seconds: float, conversations: int, each: int, series: str) -> list[Due]:
    """`rate` messages a second for so long, round about `conversations`, which are new ones after `each` messages."""
    plan = []
    for index in range(int(rate * seconds)):
        generation, place = divmod(index, conversations * each)
        number, conversation = divmod(place, conversations)
        thread = thread_name(f"{series}{generation:03d}", conversation)
        plan.append(Due(index / rate, thread, number + 1, f"U{conversation}"))
    return plan


def burst(messages: int, conversations: int, series: str) -> list[Due]:
    """`messages` over `conversations`, all due at once."""
    return [
        Due(0.0, thread_name(series, index % conversations), index // conversations + 1, f"U{index % conversations}")
        for index in range(messages)
    ]


def thread_name(series: str, conversation: int) -> str:
    """A thread as Slack names one; all threads of a series begin alike."""
    return f"{series}{1_000_000 + conversation}.000001"
