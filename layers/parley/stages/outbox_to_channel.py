"""deliver(): what a turn sends out reaches its channel, piece by piece, each marked as soon as it is sent.

The turn is read before the first piece and marked after each: a record that comes twice sends nothing twice, and a
run that dies goes on where it stopped. What remains is a death between the channel's 200 and the mark: one piece.

The turn before it is read along. When that one still owes its answer, the run that was to queue it died, and its
record is yet to come: then it is sent first, for users read answers in the order of their questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from parley.domain.message import channel_of
from parley.domain.turn import Outgoing, Turn
from parley.envelopes import read_outbox
from parley.errors import ChannelRefused, Conflict
from parley.ports import Channel, Ports
from parley.stages.owing import owed_delivery

LOOK_BACK = 50
"""How many turns with nothing to send may lie between two answers whose order is kept: one query's bound."""


def deliver(body: str, now: float, ports: Ports) -> None:
    """Handle one record of the outbox.

    Raises ChannelBusy(retry_after) when the channel asks for patience, UnreadableRecord, or what an adapter raises.
    """
    outgoing = read_outbox(body)
    ports.telemetry.follow(outgoing.trace, outgoing.conversation)
    turns = ports.conversations.turns(outgoing.conversation, outgoing.turn, 2)
    if not turns or turns[0].number != outgoing.turn or not turns[0].owes_delivery:
        ports.telemetry.count("DuplicatesDropped")
        ports.telemetry.note("already delivered", turn=outgoing.turn)
        return
    for overtaken, turn in reversed([*_overtaken(outgoing, turns[1:], ports)]):
        ports.telemetry.count("DeliveriesOvertaken")
        _send_or_bury(overtaken, turn, now, ports)
    _send_or_bury(outgoing, turns[0], now, ports)


def _overtaken(outgoing: Outgoing, before: list[Turn], ports: Ports) -> Iterator[tuple[Outgoing, Turn]]:
    """What the turns before still owe, the newest first; nearly always nothing, and known from the turn before.

    A turn that was sent was sent after all before it, so the look back ends there. One without anything to send, such
    as one that was cancelled or refused, says nothing of those before it.
    """
    if not before or before[0].is_past_delivery:
        return
    earlier = ports.conversations.turns(outgoing.conversation, before[0].number - 1, LOOK_BACK)
    for turn in takewhile(lambda turn: not turn.is_past_delivery, [*before, *earlier]):
        owed = owed_delivery(turn, outgoing, ports.conversations)
        if owed is not None:
            yield owed, turn


def _send_or_bury(outgoing: Outgoing, turn: Turn, now: float, ports: Ports) -> None:
    """Send it; what the channel will never take is buried, and keeps nothing behind it."""
    channel = ports.channels.get(channel_of(outgoing.conversation), outgoing.bot)
    try:
        if channel is None:
            raise ChannelRefused(f"channel {channel_of(outgoing.conversation)!r} is off: it has no credentials")
        _send(channel, outgoing, turn, now, ports)
    except ChannelRefused as refusal:
        bury(outgoing, turn, str(refusal), now, ports)


def bury(outgoing: Outgoing, turn: Turn, reason: str, now: float, ports: Ports) -> None:
    """Give up: keep the message where it can be replayed from, and end the turn."""
    ports.outbox.bury(outgoing, reason, turn.tries)
    try:
        ports.conversations.undeliverable(turn, reason, now)
    except Conflict:
        ports.telemetry.note("delivered while it was given up", turn=outgoing.turn)
        return
    ports.telemetry.count("Undeliverable")
    ports.telemetry.warn("undeliverable", turn=outgoing.turn, reason=reason)


def _send(channel: Channel, outgoing: Outgoing, turn: Turn, now: float, ports: Ports) -> None:
    """Send the pieces that the channel has not got yet."""
    pieces = channel.pieces(outgoing.text)
    for index in range(turn.sent, len(pieces)):
        channel.send(outgoing.reply_to, pieces[index])
        ports.conversations.sent(turn, index + 1, index + 1 == len(pieces), now)
        ports.telemetry.count("PiecesSent")
    ports.telemetry.note("delivered", turn=outgoing.turn, pieces=len(pieces))
