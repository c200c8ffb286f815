"""How far a message has come, as whoever waits for its answer sees it. Puts no words on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from parley.domain.conversation import EventMark
from parley.domain.message import Message
from parley.domain.turn import Turn, TurnStatus


class Stage(StrEnum):
    """How far; the last four are ends."""

    QUEUED = "queued"
    THINKING = "thinking"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


_STAGE_OF_TURN = {
    TurnStatus.THINKING: Stage.THINKING,
    TurnStatus.FAILED: Stage.FAILED,
    TurnStatus.CANCELLED: Stage.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """A message's mark (None while it is in the inbox), the turn it belongs to (None until that opens), its answer."""

    mark: EventMark | None = None
    turn: Turn | None = None
    answer: Message | None = None

    @property
    def stage(self) -> Stage:
        """How far the message has come."""
        if self.mark is None:
            return Stage.QUEUED
        if self.mark.deleted:
            return Stage.DELETED
        if self.mark.cancelled:
            return Stage.CANCELLED
        if self.turn is None:
            return Stage.QUEUED
        return _STAGE_OF_TURN.get(self.turn.status, Stage.ANSWERED)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.stage not in (Stage.QUEUED, Stage.THINKING)
