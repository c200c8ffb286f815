"""What an ended turn still owes its channel, put together from what is stored."""

from __future__ import annotations

from collections.abc import Iterable

from parley.domain.conversation import Conversation
from parley.domain.turn import Outgoing, Turn
from parley.ports import Conversations, Ports


def owed_delivery(turn: Turn, of: Conversation | Outgoing, conversations: Conversations) -> Outgoing | None:
    """The answer or the notice that the turn owes; None when it owes nothing, or its text is gone.

    `of` is anything of the same conversation that knows its bot and where its answers go: both never change.
    """
    if not turn.owes_delivery:
        return None
    answer = conversations.message(turn.conversation, turn.answer) if turn.answer is not None else None
    text = answer.text if answer is not None else turn.notice
    return Outgoing(turn.conversation, turn.number, of.bot, text, turn.trace, of.reply_to) if text else None


def queue_what_is_owed(turns: Iterable[Turn], conversation: Conversation, ports: Ports) -> None:
    """Queue what these turns owe. Its name is the same every time, so a repeat is none."""
    for turn in turns:
        unsent = owed_delivery(turn, conversation, ports.conversations)
        if unsent is not None:
            ports.outbox.put(unsent)
