"""The way back for those who fetch: what became of a message, and its end as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable

from parley.domain.progress import Progress
from parley.ports import Conversations

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
"""Seconds between two looks: short at first, because a warm model answers in well under a second."""


def look(conversation: str, event: str, conversations: Conversations) -> Progress:
    """How far the message has come: two reads while it is on its way, three once it is answered."""
    mark = conversations.mark(conversation, event)
    turn = conversations.turn(conversation, mark.turn) if mark is not None and not mark.deleted else None
    if turn is None or turn.answer is None:
        return Progress(mark, turn)
    return Progress(mark, turn, conversations.message(conversation, turn.answer))


def wait(
    conversation: str,
    event: str,
    seconds: float,
    *,
    conversations: Conversations,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> Progress:
    """How far the message has come when it has come to an end, or when `seconds` are over."""
    deadline = clock() + seconds
    interval = FIRST_PAUSE
    while True:
        progress = look(conversation, event, conversations)
        left = deadline - clock()
        if progress.over or left <= 0:
            return progress
        pause(min(interval, left))
        interval = min(interval * 1.5, LONGEST_PAUSE)
