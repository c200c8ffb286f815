"""Read, decide, write: once more when somebody else wrote first. Knows the table only as a port."""

from __future__ import annotations

from collections.abc import Callable

from parley.domain.conversation import Change
from parley.errors import Conflict
from parley.ports import Conversations

TRIES = 8


def commit(decide: Callable[[], Change], conversations: Conversations) -> Change:
    """The change that was written; `decide` reads and decides afresh at each try.

    Raises what `decide` raises, AlreadySeen, and Conflict when the conversation moved under every try.
    """
    for _ in range(TRIES - 1):
        change = decide()
        try:
            conversations.commit(change)
            return change
        except Conflict:
            continue
    change = decide()
    conversations.commit(change)
    return change
