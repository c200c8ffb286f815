"""The far ends of the ports: a model, platforms and an index that do what a history's choices say.

Tables and queues are the stand-ins that the contract tests hold to AWS's documentation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from parley.domain.limits import Policy
from parley.domain.message import channel_of
from parley.domain.turn import Ask, ModelReply
from parley.errors import ChannelBusy, ChannelRefused
from scripts.local.stand_in.table import MemoryTable

PIECES = "|"
"""What parts the pieces of an answer, so that a test can tell them apart."""


class Model:
    """A backend whose calls end when the history says so. Asking twice runs twice, as on SageMaker."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        """Calls that have not ended yet, the oldest first."""
        self.results: dict[str, ModelReply] = {}
        self.air: list[str] = []
        """Notifications on their way from the topic to the queue."""
        self.texts: dict[tuple[str, int, str], set[str]] = defaultdict(set)
        """All that was ever answered to a turn: its conversation, number and trace."""
        self.prompts: dict[tuple[str, int, str, int], Any] = {}
        """What was asked, by conversation, turn, its trace and step."""
        self.calls = 0
        self._ended: list[tuple[Ask, ModelReply]] = []

    def ask(self, ask: Ask, request: Mapping[str, Any]) -> None:
        """As the port says."""
        self.asked.append(ask)

    def finish(self, ask: Ask, result: ModelReply, copies: int) -> None:
        """The call ends: its result lies in the bucket, and so many notifications are on their way."""
        self.results[ask.path] = result
        if result.error is None:
            self.texts[ask.conversation, ask.turn, ask.trace].add(result.text)
        self.air += [str(len(self._ended))] * copies
        self._ended.append((ask, result))

    def answer(self, ask: Ask, pieces: int = 1, seconds: float = 1.0) -> ModelReply:
        """A text that no other call gives."""
        self.calls += 1
        name = f"{ask.conversation} turn {ask.turn} call {self.calls}"
        text = PIECES.join(f"{name} piece {number}" for number in range(1, pieces + 1))
        return ModelReply(text=text, seconds=seconds, usage={"prompt_tokens": 100, "completion_tokens": 50})

    def read(self, notification: str) -> tuple[Ask, ModelReply]:
        """As the port says."""
        return self._ended[int(notification)]

    def result(self, ask: Ask) -> ModelReply | None:
        """As the port says."""
        return self.results.get(ask.path)

    def awake(self) -> bool:
        """Always."""
        return True


class Platforms:
    """`Channels`, each of which keeps what it took, by the conversation that it was sent to."""

    def __init__(self) -> None:
        self.took: dict[str, list[str]] = defaultdict(list)
        self.busy = 0
        """How many of the next calls are refused for now."""
        self.refusing = 0
        """How many of the next calls are refused for good."""
        self.sender: Callable[[Any], Any] = lambda platform: platform

    def get(self, channel: str, bot: str) -> Any:
        """As the port says."""
        return self.sender(self) if channel in ("slack", "telegram") else None

    def pieces(self, text: str) -> list[str]:
        """As the port says."""
        return text.split(PIECES)

    def send(self, reply_to: Mapping[str, str], piece: str) -> str:
        """As the port says."""
        if self.busy:
            self.busy -= 1
            raise ChannelBusy("429", 5.0)
        if self.refusing:
            self.refusing -= 1
            raise ChannelRefused("channel_not_found")
        self.took[reply_to["thread"]].append(piece)
        return "id"


def reply_to(conversation: str) -> dict[str, str]:
    """Where a conversation's answers go."""
    return {"thread": conversation} if channel_of(conversation) in ("slack", "telegram") else {}


class LaggingTable(MemoryTable):
    """The table, whose index of open turns may show what it showed before."""

    def __init__(self, clock: Callable[[], float], policy: Policy, lags: Callable[[], bool]) -> None:
        super().__init__(clock, policy)
        self._lags = lags
        self._shown: list[tuple[str, int]] = []

    def next_deadline(self) -> float | None:
        """When the next open turn is overdue."""
        found = MemoryTable.overdue(self, float("inf"), 1)
        turn = self.turn(*found[0]) if found else None
        return turn.deadline if turn is not None else None

    def overdue(self, now: float, limit: int) -> list[tuple[str, int]]:
        """Fresh, or as stale as the last look."""
        if not self._lags():
            self._shown = super().overdue(now, limit)
        return self._shown
