"""sweep(): turns past their deadline are finished one way or another. The net under lost notifications."""

from __future__ import annotations

from parley.domain.turn import Ask, ModelReply, Turn, TurnStatus
from parley.ports import Ports
from parley.stages.giving_up import fail_turn
from parley.stages.model_to_outbox import take_result
from parley.stages.outbox_to_channel import bury
from parley.stages.owing import owed_delivery

STUCK_SECONDS = 900.0
"""A turn that each sweep fails to end, for this long past its deadline, ends without an answer."""

AT_ONCE = 100
"""Most turns of one sweep; the next one, a minute later, takes the rest."""


def sweep(record: str, now: float, ports: Ports) -> int:
    """Finish the overdue turns; comes back with how many there were. `record` names this sweep.

    A turn that cannot be handled does not keep the others from being handled; the first such error is raised last.
    """
    found = ports.conversations.overdue(now, AT_ONCE)
    errors: list[Exception] = []
    for conversation, number in found:
        try:
            _finish(conversation, number, record, now, ports)
        except Exception as error:
            ports.telemetry.warn("sweep failed", turn=number, reason=type(error).__name__)
            errors.append(error)
    if found:
        ports.telemetry.count("OverdueTurns", len(found))
    if errors:
        raise errors[0]
    return len(found)


def _finish(conversation: str, number: int, record: str, now: float, ports: Ports) -> None:
    """Finish one turn, unless somebody else did since it was listed: the list lags behind the table."""
    turn = ports.conversations.turn(conversation, number)
    if turn is None or turn.deadline is None or turn.deadline > now:
        return
    ports.telemetry.follow(turn.trace, conversation)
    if turn.status is TurnStatus.THINKING:
        _finish_thinking(turn, record, now, ports)
    else:
        _send_again(turn, now, ports)


def _finish_thinking(turn: Turn, record: str, now: float, ports: Ports) -> None:
    """Take the result that nobody told us of; without one, count the attempt as failed."""
    conversation = ports.conversations.find(turn.conversation)
    if conversation is None or not conversation.waits_for(turn.number, turn.step):
        return
    owed = conversation.ask()
    try:
        take_result(owed, _result(owed, ports), record, now, ports)
    except Exception as error:
        if now < (turn.deadline or 0) + STUCK_SECONDS:
            raise
        fail_turn(owed, record, f"it could not be ended: {type(error).__name__}", now, ports)


def _result(owed: Ask, ports: Ports) -> ModelReply:
    """What lies in the bucket, or why it is as good as nothing: another attempt may do better."""
    try:
        return ports.backend.result(owed) or ModelReply(error="no result before the deadline")
    except Exception as error:
        ports.telemetry.warn("a result cannot be read", turn=owed.turn, reason=type(error).__name__)
        return ModelReply(error=f"its result cannot be read: {type(error).__name__}")


def _send_again(turn: Turn, now: float, ports: Ports) -> None:
    """Queue once more what the channel has not got, a few times; then give it up."""
    conversation = ports.conversations.find(turn.conversation)
    unsent = owed_delivery(turn, conversation, ports.conversations) if conversation is not None else None
    if unsent is None:
        ports.conversations.undeliverable(turn, "there is nothing left to send", now)
    elif turn.tries >= ports.patience.deliveries:
        bury(unsent, turn, "not delivered before the last deadline", now, ports)
    else:
        ports.conversations.postpone(turn, now + ports.patience.delivery)
        ports.outbox.put(unsent)
        ports.telemetry.count("DeliveriesRepeated")
