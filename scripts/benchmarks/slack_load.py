"""A closed loop of Slack users: each conversation sends its next message when the last one is answered.

Signed webhooks go in over real HTTP; answers come back to a Slack API on loopback, where they are checked: none lost,
none twice, all in order.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from scripts.benchmarks.slack_webhooks import SlackSide, Webhooks, message


@dataclass
class Outcome:
    """What came of a run. Times are seconds; `acknowledged` and `answered` hold one for each message."""

    messages: int
    seconds: float = 0.0
    acknowledged: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    out_of_order: int = 0

    @property
    def clean(self) -> bool:
        """Whether every message was answered once and in order."""
        return not (self.lost or self.twice or self.out_of_order)


class SlackLoad:
    """`conversations` users with `each` messages; `series` sets their threads apart from another load's."""

    def __init__(self, slack: SlackSide, gateway: str, conversations: int, each: int, series: str = "1") -> None:
        self._webhooks = Webhooks(gateway)
        self._each = each
        self._threads = [f"{series}{1_000_000 + index}.000001" for index in range(conversations)]
        self._sent_at: dict[tuple[str, int], float] = {}
        self._heard: dict[str, list[int]] = {thread: [] for thread in self._threads}
        self._outcome = Outcome(conversations * each)
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(16)
        slack.heard = self._hear

    def run(self, seconds: float, progress: Callable[[int, int], None]) -> Outcome:
        """Send everything, wait for the answers (at most `seconds`), and count. `progress` gets (answered, of)."""
        begun = time.monotonic()
        for thread in self._threads:
            self._pool.submit(self._send, thread, 1)
        while (done := self._answers()) < self._outcome.messages and time.monotonic() - begun < seconds:
            progress(done, self._outcome.messages)
            with self._changed:
                self._changed.wait(1.0)
        self._outcome.seconds = time.monotonic() - begun
        progress(self._answers(), self._outcome.messages)
        self._pool.shutdown(cancel_futures=True)
        return self._count()

    def _send(self, thread: str, number: int) -> None:
        """One signed webhook."""
        self._sent_at[thread, number] = sent = time.monotonic()
        status = self._webhooks.post(message(thread, number, "U1", f"message {number}"))
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}")
        self._outcome.acknowledged.append(time.monotonic() - sent)

    def _hear(self, thread: str, text: str) -> None:
        number = int(text.rpartition(" ")[2])
        heard = self._heard[thread]
        heard.append(number)
        self._outcome.answered.append(time.monotonic() - self._sent_at[thread, number])
        if number == len(heard) and number < self._each:
            self._pool.submit(self._send, thread, number + 1)
        with self._changed:
            self._changed.notify()

    def _answers(self) -> int:
        return sum(len(set(heard)) for heard in self._heard.values())

    def _count(self) -> Outcome:
        for heard in self._heard.values():
            counts = Counter(heard)
            self._outcome.lost += self._each - len(counts)
            self._outcome.twice += sum(count - 1 for count in counts.values())
            first = list(dict.fromkeys(heard))
            self._outcome.out_of_order += first != sorted(first)
        return self._outcome
