"""Messages: what people and the model say, and what a channel hands in. Knows no channel and no store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT_CHARACTERS = 32_000
"""Longest text of one user message; about a quarter of the inline limit of a model request."""


RATINGS = ("up", "down")
"""What a person can think of an answer: it was good, or it was not."""


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of a prompt: a role and a text, without a place in a conversation."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One stored entry of a conversation.

    `sequence` counts from 1 within the conversation; `turn` is the turn that it belongs to. `preface` holds what an
    API caller sent before it in the same request; `options` the caller's wishes for the turn (`instructions`,
    `temperature`, ...); `event` the id under which it arrived (user messages only); `feedback` one of RATINGS, where
    somebody rated it (answers only).
    """

    sequence: int
    turn: int
    role: str
    text: str
    created: float
    event: str | None = None
    preface: tuple[Said, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    feedback: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A user's message as a channel hands it in, before it has a place in its conversation.

    `event` is the channel's own id of the event: a repeat carries the same one. `reply_to` is what the channel needs
    to answer (a chat id, a thread); it is the same for all messages of a conversation. `received` is epoch seconds.
    `trace` is the correlation id that every log line of this message carries.
    """

    event: str
    conversation: str
    bot: str
    user: str
    text: str
    received: float
    trace: str
    reply_to: Mapping[str, str] = field(default_factory=dict)
    preface: tuple[Said, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the API shows again when it is asked for the response (`metadata`, ...); never sent to the model."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A user's wish to stop: either the turn with number `turn`, or whatever became of the message `event`.

    It travels through the inbox behind the messages that it is about. `id` is its own name, for deduplication.
    """

    id: str
    conversation: str
    trace: str
    turn: int | None = None
    event: str | None = None


def conversation_id(channel: str, account: str, thread: str) -> str:
    """`{channel}:{account}:{thread}`: one thread on one channel."""
    return f"{channel}:{account}:{thread}"


def conversation_key(conversation: str) -> str:
    """32 hex digits that stand for a conversation where its id may not go (queue groups, S3 keys, inference ids)."""
    return hashlib.sha256(conversation.encode()).hexdigest()[:32]


def anonymous(user: str) -> str:
    """16 hex digits that stand for a user where the model's server shares its time between users."""
    return hashlib.sha256(user.encode(errors="replace")).hexdigest()[:16]


def channel_of(conversation: str) -> str:
    """The channel's name, the first part of a conversation's id."""
    return conversation.partition(":")[0]
