"""The dead letter of a turn that fails for good."""

from __future__ import annotations

from parley.domain.conversation import Conversation
from parley.domain.turn import FailedTurn
from parley.envelopes import write_failed
from parley.ports import Ports


def bury_turn(conversation: Conversation, reason: str, ports: Ports) -> None:
    """Keep where the messages of the turn in progress are, so that its owner can have them asked anew.

    Comes before the transaction that ends the turn: a run that dies between the two leaves a letter, and comes again.
    """
    upto = conversation.upto or conversation.sequence
    letter = FailedTurn(conversation.id, conversation.turn, upto, conversation.trace)
    ports.inbox.bury(write_failed(letter), conversation.id, f"failed {conversation.turn}", reason)
