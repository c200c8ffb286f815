"""tell_waking(): who waits on a channel while the model has no instance is told so, once, with an honest estimate.

Costs a turn nothing where the model is awake. The page needs none of it: it asks, and sees.
"""

from __future__ import annotations

from parley.domain import notices
from parley.domain.message import channel_of
from parley.domain.turn import Turn, TurnStatus, is_read_on_demand
from parley.errors import DeliveryError
from parley.ports import Ports

QUIET_SECONDS = 20.0
"""A turn younger than this may be answered before anybody wonders."""

AT_ONCE = 25


def tell_waking(now: float, ports: Ports) -> int:
    """Tell those who wait; comes back with how many were told. Marked before it is sent: never told twice."""
    if ports.guard.instances() > 0 or ports.guard.closed(now):
        return 0
    told = 0
    asked_before = now + ports.patience.answer - QUIET_SECONDS  # their deadline is that much after they were asked
    for conversation, number in ports.conversations.overdue(asked_before, AT_ONCE):
        turn = ports.conversations.turn(conversation, number)
        if turn is not None and turn.status is TurnStatus.THINKING and not turn.told:
            told += _tell(turn, ports)
    if told:
        ports.telemetry.count("WakingNotices", told)
    return told


def _tell(turn: Turn, ports: Ports) -> bool:
    found = None if is_read_on_demand(turn.conversation) else ports.conversations.find(turn.conversation)
    channel = ports.channels.get(channel_of(turn.conversation), found.bot) if found is not None else None
    if found is None or channel is None or not ports.conversations.tell_once(turn):
        return False
    ports.telemetry.follow(turn.trace, turn.conversation)
    try:
        channel.send(found.reply_to, notices.waking(found.title, ports.guard.estimate()))
    except DeliveryError as error:
        ports.telemetry.note("waking notice not taken", reason=type(error).__name__)
        return False
    return True
