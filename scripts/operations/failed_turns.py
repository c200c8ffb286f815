"""A turn that failed for good, asked anew: its messages go through the inbox once more, as one, at the newest place.

The turn itself stays failed: its user was told so, and an API caller saw its end.
"""

from __future__ import annotations

import time
from typing import Any

from parley.aws.queues import SqsInbox
from parley.domain import prompt
from parley.domain.message import Incoming
from parley.domain.turn import FailedTurn, TurnStatus
from parley.ports import Conversations

MOST_MESSAGES = 100
TEXT_BYTES = 200_000
"""How much of a turn of many messages is asked anew; with the newest message it fits one item of the table."""


def ask_anew(failed: FailedTurn, table: Conversations, sqs: Any, inbox_url: str) -> bool:
    """Send the turn's messages to the inbox; False when they are gone, or the turn did not fail after all.

    A second time sends nothing twice: the event has the turn's name.
    """
    conversation = table.find(failed.conversation)
    turn = table.turn(failed.conversation, failed.turn)
    found = table.messages(failed.conversation, failed.upto + 1, MOST_MESSAGES)
    said = [message for message in found if message.turn == failed.turn and message.role == "user"]
    if conversation is None or turn is None or turn.status is not TurnStatus.FAILED or not said:
        return False
    entries = prompt.flatten(said)
    again = Incoming(
        event=f"replay-of-turn-{failed.turn}", conversation=conversation.id, bot=conversation.bot,
        user=conversation.user, text=entries[-1].text, received=time.time(), trace=failed.trace,
        reply_to=conversation.reply_to, preface=tuple(prompt.newest(entries[:-1], TEXT_BYTES)),
        options={name: value for message in said for name, value in message.options.items()},
    )  # fmt: skip
    SqsInbox(sqs, inbox_url, "").put(again)
    return True
