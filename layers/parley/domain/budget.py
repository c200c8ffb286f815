"""The month's budget for the model's instances: how far it is used, and what follows. Knows no clock and no cloud."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

WARN_SHARE = 0.8


class Level(IntEnum):
    """How far the budget is used; each level is told to the owner once a month."""

    OPEN = 0
    WARNED = 1
    CLOSED = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """What a month may cost in USD (0: no limit), and what an instance costs an hour."""

    limit: float = 0.0
    hourly: float = 0.0

    def spent(self, instance_seconds: float) -> float:
        """USD of so many seconds of one instance."""
        return instance_seconds / 3600 * self.hourly

    def level(self, instance_seconds: float) -> Level:
        """Where the month stands after so many seconds of one instance."""
        if self.limit <= 0 or self.spent(instance_seconds) < WARN_SHARE * self.limit:
            return Level.OPEN
        return Level.WARNED if self.spent(instance_seconds) < self.limit else Level.CLOSED


def month_of(now: float) -> str:
    """The month, for instance `2026-11`, in UTC as AWS bills; `now` is epoch seconds."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m}"


def end_of_month(now: float) -> float:
    """When the month after it begins, in epoch seconds."""
    at = datetime.fromtimestamp(now, UTC)
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
