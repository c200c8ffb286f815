"""give_up_...(): a record that failed at its last try ends visibly, and keeps nothing behind it any longer.

A message becomes a failed turn with a notice and a dead letter; where not even that can be stored, the record itself
is the letter and the notice goes straight to the channel. A result counts as a failed attempt of its turn. An answer
is buried. What these raise leaves the record to its queue, whose own dead-letter queue is the net beneath.
"""

from __future__ import annotations

from parley.domain import conversation as rules
from parley.domain import notices, prompt
from parley.domain.conversation import Change, Conversation, Status
from parley.domain.message import Incoming, channel_of
from parley.domain.turn import Ask, ModelReply, is_read_on_demand
from parley.envelopes import read_inbox, read_outbox
from parley.errors import AlreadySeen, DeliveryError, StaleResult, UnreadableRecord
from parley.ports import Ports
from parley.stages.burying import bury_turn
from parley.stages.committing import commit, say
from parley.stages.inbox_to_model import ask
from parley.stages.model_to_outbox import take_result
from parley.stages.outbox_to_channel import bury
from parley.stages.resting import rest_if_closed

UNREADABLE = "unreadable"
"""In place of a conversation, where a record does not tell its own."""


def give_up_message(record: str, body: str, error: str, now: float, ports: Ports) -> None:
    """End what think() could not do; `error` is a word for the reason, without any text of the message."""
    try:
        command = read_inbox(body)
    except UnreadableRecord:
        ports.inbox.bury(body, UNREADABLE, record, error)
        return
    if not isinstance(command, Incoming):
        ports.inbox.bury(body, command.conversation, record, error)
        return
    try:
        found = _stored(command, record, now, ports)
    except Exception as failure:
        ports.telemetry.warn("not even its failure can be stored", reason=type(failure).__name__)
        ports.inbox.bury(body, command.conversation, record, error)
        _tell(command, ports)
        return
    if found is not None and found.status is Status.THINKING and found.asked_by == record:
        fail_turn(found.ask(), record, error, now, ports)


def give_up_result(record: str, body: str, error: str, now: float, ports: Ports) -> None:
    """Count what reply() could not take as a failed attempt: the step is tried again, or its turn fails.

    Raises UnreadableRecord for what is no result of ours: there is no turn to end then.
    """
    done, _ = ports.backend.read(body)
    take_result(done, ModelReply(error=f"its result could not be taken: {error}"), record, now, ports)


def give_up_delivery(record: str, body: str, error: str, now: float, ports: Ports) -> None:
    """Bury what deliver() could not send, and end its turn."""
    try:
        outgoing = read_outbox(body)
    except UnreadableRecord:
        ports.outbox.bury_unreadable(body, record, error)
        return
    turn = ports.conversations.turn(outgoing.conversation, outgoing.turn)
    if turn is not None and turn.owes_delivery:
        bury(outgoing, turn, error, now, ports)


def fail_turn(owed: Ask, record: str, error: str, now: float, ports: Ports) -> None:
    """End the turn that waits for this call without an answer, and begin the next one.

    Raises StaleResult when that is not waited for.
    """

    def decide() -> Change:
        found = ports.conversations.find(owed.conversation)
        if found is None or found.status is not Status.THINKING or found.ask() != owed:
            raise StaleResult(f"turn {owed.turn} has moved on")
        bury_turn(found, error, ports)
        return rules.fail(found, error, notices.failed(found.title), record, now, ports.patience)

    change = commit(decide, now, ports)
    ports.telemetry.count("TurnsFailed")
    ports.telemetry.warn("turn given up", turn=owed.turn, reason=error)
    say(change, ports)
    if change.ask is not None and not rest_if_closed(owed.conversation, record, now, ports):
        _, messages = ports.conversations.load(owed.conversation, prompt.HISTORY_MESSAGES)
        ask(change.after, messages, ports)


def _stored(incoming: Incoming, record: str, now: float, ports: Ports) -> Conversation | None:
    """Store the message, if that was not done. A turn that it opens now, or opened before, is this record's to end."""

    def decide() -> Change:
        return rules.accept(ports.conversations.find(incoming.conversation), incoming, record, now, ports.patience)

    try:
        say(commit(decide, now, ports), ports)
    except AlreadySeen:
        ports.telemetry.note("message seen before")
    return ports.conversations.find(incoming.conversation)


def _tell(incoming: Incoming, ports: Ports) -> None:
    """Tell the user without the table's help; whoever fetches answers sees nothing of it, the message is not there."""
    if is_read_on_demand(incoming.conversation):
        return
    channel = ports.channels.get(channel_of(incoming.conversation), incoming.bot)
    if channel is None:
        return
    try:
        channel.send(incoming.reply_to, notices.failed(incoming.text))
    except DeliveryError as refusal:
        ports.telemetry.note("notice not taken", reason=type(refusal).__name__)
