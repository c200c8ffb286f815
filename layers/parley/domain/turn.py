"""A turn and the names of its side effects: a repeat of any stage chooses the same ones. Performs none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from parley.domain.message import channel_of, conversation_key

READ_ON_DEMAND = frozenset({"api", "web"})
"""Channels whose users fetch the answer from the table: storing it is delivering it."""


class TurnStatus(StrEnum):
    """Where a turn is; every value but the first two is an end."""

    THINKING = "thinking"
    ANSWERED = "answered"
    """The answer is stored and is on its way to the channel."""
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDELIVERABLE = "undeliverable"
    """The answer is stored, but the channel will not take it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to try, in seconds and tries; the deployment's settings.

    `answer` covers the wake-up of a model at zero instances, so it is far longer than an answer takes.
    """

    answer: float = 1800.0
    attempts: int = 3
    delivery: float = 900.0
    deliveries: int = 4
    records: int = 5
    """How often a queue's record is tried before it is given up; the queues' own limit tells nobody, and is higher."""
    busy: int = 8
    """How often a channel may ask for patience before its answer is left to the sweep, which begins delivery anew."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One or more user messages and the one answer to them.

    `deadline` (epoch seconds) is set while something is still owed: the answer, or its delivery; None afterwards.
    `answer` is the sequence of the answer's message, `notice` what the user is told when there is none, `sent` how
    many pieces the channel has taken, `tries` how often delivery was begun anew.
    """

    conversation: str
    number: int
    status: TurnStatus
    opened: float
    deadline: float | None
    trace: str
    step: int = 1
    attempt: int = 1
    answer: int | None = None
    error: str | None = None
    notice: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    finish: str | None = None
    sent: int = 0
    tries: int = 0
    ended: float | None = None
    told: bool = False
    """Whether its user has heard that the model is waking up."""

    @property
    def owes_delivery(self) -> bool:
        """Whether something that the user should get is stored, but not yet with the channel."""
        return self.deadline is not None and self.status in (TurnStatus.ANSWERED, TurnStatus.FAILED)

    @property
    def is_past_delivery(self) -> bool:
        """Whether it had something to send, and its channel took that or never will."""
        if self.status is TurnStatus.FAILED:
            return self.notice is not None and self.deadline is None
        return self.status in (TurnStatus.DELIVERED, TurnStatus.UNDELIVERABLE)


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of the model: attempt `attempt` at step `step` of turn `turn`."""

    conversation: str
    turn: int
    step: int
    attempt: int
    trace: str

    @property
    def inference_id(self) -> str:
        """The call's name; at most 64 printable characters, as SageMaker asks."""
        return f"{conversation_key(self.conversation)}-{self.turn}-{self.step}-{self.attempt}"

    @property
    def path(self) -> str:
        """Where the call's payloads lie below the bucket's prefixes: no other call's path begins with it.

        A conversation that is written on after it was deleted counts its turns anew; their traces tell them apart.
        """
        turn = f"{self.turn}-{hashlib.sha256(self.trace.encode(errors='replace')).hexdigest()[:8]}"
        return f"{conversation_key(self.conversation)}/{turn}/{self.step}/{self.attempt:03d}"


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What came back for an Ask: a text, or an error that says whether another attempt may succeed."""

    text: str = ""
    finish: str = "stop"
    usage: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    """How many of the messages we sent did not fit the model's context window."""
    error: str | None = None
    permanent: bool = False
    seconds: float = 0.0
    """How long the call took from its arrival to its end, waiting for an instance included; 0 where nobody says."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a turn sends to its channel: the answer, or the notice that there is none."""

    conversation: str
    turn: int
    bot: str
    text: str
    trace: str
    reply_to: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The message's name, for deduplication: a turn sends one message, in as many pieces as it takes."""
        return f"{conversation_key(self.conversation)}-{self.turn}"


@dataclass(frozen=True, slots=True)
class FailedTurn:
    """The dead letter of a turn that failed for good: where its messages are, so that they can be asked anew.

    `upto` is the sequence of the newest of them. The text stays in the table alone.
    """

    conversation: str
    turn: int
    upto: int
    trace: str


def is_read_on_demand(conversation: str) -> bool:
    """Whether this conversation's answers are fetched by its user, so that nothing is sent out."""
    return channel_of(conversation) in READ_ON_DEMAND


@dataclass(frozen=True, slots=True)
class TurnUpdate:
    """What changes about a stored turn. `deadline` None takes it off the sweep's list; other None fields stay."""

    number: int
    status: TurnStatus
    deadline: float | None
    attempt: int | None = None
    answer: int | None = None
    error: str | None = None
    notice: str | None = None
    usage: Mapping[str, int] | None = None
    finish: str | None = None
    ended: float | None = None

    def fields(self) -> dict[str, Any]:
        """The fields to set, without `deadline` and those that stay."""
        names = ("status", "attempt", "answer", "error", "notice", "usage", "finish", "ended")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
