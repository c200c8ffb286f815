"""What one user may take in a minute, in a day and at once, and what follows when that is used up. Knows no store.

A request is counted where a turn opens, in the same write: a message that comes twice counts once, one that joins a
turn which waits already costs nothing. Who asks over HTTP is counted at the door, where a repeat is a request too.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from parley.domain.message import channel_of

MINUTE, DAY = 60, 24 * 3600
TURN_SECONDS = 10
"""When to come back for a turn: one that is answered makes room, and nobody knows when that is."""
_REFUSED = "over the limit of "


class Kind(StrEnum):
    """Of what there was too much."""

    REQUESTS = "requests a minute"
    TOKENS = "tokens a day"
    TURNS = "turns at once"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may take; 0 is no limit."""

    requests_per_minute: int = 0
    tokens_per_day: int = 0
    turns_at_once: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return bool(self.requests_per_minute or self.tokens_per_day or self.turns_at_once)

    def of(self, kind: Kind) -> int:
        """The number."""
        return {
            Kind.REQUESTS: self.requests_per_minute,
            Kind.TOKENS: self.tokens_per_day,
            Kind.TURNS: self.turns_at_once,
        }[kind]


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of those who call the HTTP API, and of everybody else: users of channels, visitors of the page."""

    callers: Limits = Limits()
    users: Limits = Limits()

    def of(self, user: str) -> Limits:
        """The limits of one user, whose id begins with its channel."""
        return self.callers if channel_of(user) == "api" else self.users


@dataclass(frozen=True, slots=True)
class Taken:
    """What a user has taken: requests of this minute, tokens of this day, conversations with a turn in progress.

    `told` is until when (epoch seconds) it knows that it is over a limit.
    """

    requests: int = 0
    tokens: int = 0
    turns: Set[str] = frozenset()
    told: float = 0.0


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that is reached: `allowed` is how much of `kind`, `until` (epoch seconds) when it may be tried again."""

    kind: Kind
    allowed: int
    until: float
    told: bool = False
    """Whether the user heard of it in this minute or day, and so hears nothing more."""

    @property
    def error(self) -> str:
        """What is stored of it with the turn."""
        return f"{_REFUSED}{self.kind}"


def exceeded(taken: Taken, limits: Limits, conversation: str, now: float, *, counts: bool, opens: bool) -> Over | None:
    """The limit that stands against a request, or a turn of `conversation`; None when there is none.

    `counts`: it is one request more of this minute; `opens`: it asks the model, which takes tokens, and is one turn
    more unless that conversation has one.
    """
    many_turns = opens and conversation not in taken.turns and len(taken.turns) >= limits.turns_at_once > 0
    reached = {
        Kind.TOKENS: opens and taken.tokens >= limits.tokens_per_day > 0,
        Kind.REQUESTS: counts and taken.requests >= limits.requests_per_minute > 0,
        Kind.TURNS: many_turns,
    }
    kind = next((kind for kind, is_reached in reached.items() if is_reached), None)
    return Over(kind, limits.of(kind), until(kind, now), taken.told > now) if kind is not None else None


def until(kind: Kind, now: float) -> float:
    """When there is room again, in epoch seconds; days are UTC's."""
    if kind is Kind.TURNS:
        return now + TURN_SECONDS
    window = DAY if kind is Kind.TOKENS else MINUTE
    return (now // window + 1) * window


def refused_for(error: str | None) -> Kind | None:
    """The limit for which a turn with this error was refused; None when it ended for another reason."""
    named = (error or "").removeprefix(_REFUSED)
    return Kind(named) if error != named and named in set(Kind) else None


def day_of(now: float) -> str:
    """The day, for instance `2026-11-25`, in UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
