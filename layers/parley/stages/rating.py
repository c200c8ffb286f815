"""What a person thinks of an answer, kept beside it: the last word counts. Asks nothing of the model."""

from __future__ import annotations

from parley.errors import Conflict, NotFound
from parley.ports import Ports


def rate(conversation: str, sequence: int, rating: str | None, ports: Ports) -> None:
    """Keep the rating of an answer; None takes an earlier one back. Raises NotFound where there is no answer (more)."""
    try:
        ports.conversations.rate(conversation, sequence, rating)
    except Conflict:
        raise NotFound("There is no such answer.") from None
    ports.telemetry.note("answer rated", conversation=conversation, sequence=sequence, rating=rating)
