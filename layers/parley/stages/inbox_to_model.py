"""think(): a message from the inbox is stored and, when its conversation is idle, the model is asked.

The order is fixed: first the transaction, then the call. A run that dies between the two is repeated by the queue,
finds its message stored, sees by `asked_by` that the call was its own to make, and makes it: at worst twice, under
the same name, and the second result is dropped.
"""

from __future__ import annotations

from parley.domain import conversation as rules
from parley.domain import prompt
from parley.domain.conversation import Change, Conversation, Status
from parley.domain.message import Cancel, Incoming, Message, anonymous
from parley.envelopes import read_inbox
from parley.errors import AlreadySeen, NotFound, StaleResult
from parley.ports import Ports
from parley.stages.committing import commit, say
from parley.stages.owing import queue_what_is_owed
from parley.stages.resting import rest_if_closed


def think(record: str, body: str, now: float, ports: Ports) -> None:
    """Handle one record of the inbox; `record` is the queue's id of it, the same at every delivery.

    Raises UnreadableRecord, Conflict, NotFound (the bot is gone) or what an adapter raises: the queue tries again.
    """
    command = read_inbox(body)
    ports.telemetry.follow(command.trace, command.conversation)
    if isinstance(command, Incoming):
        _take_in(command, record, now, ports)
    else:
        _cancel(command, record, now, ports)


def ask(conversation: Conversation, newest: list[Message], ports: Ports) -> None:
    """Call the model for what the conversation waits for; `newest` are its newest messages, as `load` gives them."""
    bot = ports.bots.get(conversation.bot)
    if bot is None:
        raise NotFound(f"bot {conversation.bot!r} is not configured")
    owed = conversation.ask()
    request = prompt.build(bot, _of_the_turn(conversation, newest, ports), owed.turn)
    ports.backend.ask(owed, {**request, "user": anonymous(conversation.user)})
    ports.telemetry.count("ModelCalls")
    ports.telemetry.note("model asked", turn=owed.turn, step=owed.step, attempt=owed.attempt)


def finish_earlier_run(record: str, conversation_id: str, now: float, ports: Ports) -> Conversation | None:
    """Do what an earlier run of this record may have left undone for the turn that it opened.

    That is the call of the model, or the notice in its place. Comes back with the conversation as it is now.
    """
    rests = rest_if_closed(conversation_id, record, now, ports)
    conversation, messages = ports.conversations.load(conversation_id, prompt.HISTORY_MESSAGES)
    if conversation is not None and conversation.asked_by == record:
        if conversation.status is Status.IDLE:
            queue_what_is_owed(ports.conversations.turns(conversation_id, conversation.turn, 1), conversation, ports)
        elif not rests:
            ask(conversation, messages, ports)
    return conversation


def _of_the_turn(conversation: Conversation, newest: list[Message], ports: Ports) -> list[Message]:
    """What the turn's prompt is made of: the same at every attempt, however many messages wait for the next turn.

    At least the turn's own messages. They are read anew where `newest` reaches past them, or not back to them.
    """
    if not conversation.upto:
        return newest
    wanted = max(prompt.HISTORY_MESSAGES, conversation.upto - conversation.since + 1)
    all_there_are = len(newest) < prompt.HISTORY_MESSAGES
    if newest and newest[-1].sequence <= conversation.upto and (all_there_are or len(newest) >= wanted):
        return newest[-wanted:]
    return ports.conversations.messages(conversation.id, conversation.upto + 1, wanted)


def _take_in(incoming: Incoming, record: str, now: float, ports: Ports) -> None:
    """Store the message, and ask the model when that opened a turn."""
    history: list[Message] = []

    def decide() -> Change:
        nonlocal history
        conversation, history = ports.conversations.load(incoming.conversation, prompt.HISTORY_MESSAGES)
        return rules.accept(conversation, incoming, record, now, ports.patience)

    try:
        change = commit(decide, now, ports)
    except AlreadySeen:
        ports.telemetry.count("DuplicatesDropped")
        ports.telemetry.note("message seen before")
        finish_earlier_run(record, incoming.conversation, now, ports)
        return
    say(change, ports)
    after = change.after
    ports.telemetry.count("MessagesStored")
    ports.telemetry.note("message stored", turn=after.turn, sequence=after.sequence, pending=after.pending)
    if change.ask is not None and not rest_if_closed(after.id, record, now, ports):
        ask(after, [*history, *change.messages], ports)


def _cancel(wish: Cancel, record: str, now: float, ports: Ports) -> None:
    """End the turn, or take the message back while it waits; what is over already stays as it is."""
    try:
        change = commit(lambda: _decide_on_cancel(wish, record, now, ports), now, ports)
    except StaleResult as reason:
        ports.telemetry.note("nothing to cancel", reason=str(reason))
        finish_earlier_run(record, wish.conversation, now, ports)
        return
    ports.telemetry.count("TurnsCancelled")
    ports.telemetry.note("cancelled")
    say(change, ports)
    if change.ask is not None and not rest_if_closed(change.after.id, record, now, ports):
        _, messages = ports.conversations.load(change.after.id, prompt.HISTORY_MESSAGES)
        ask(change.after, messages, ports)


def _decide_on_cancel(wish: Cancel, record: str, now: float, ports: Ports) -> Change:
    """The change that the wish makes. Raises StaleResult when it is too late for it, or there is no such thing."""
    conversation = ports.conversations.find(wish.conversation)
    if conversation is None:
        raise StaleResult("there is no such conversation")
    if wish.event is None:
        return rules.cancel(conversation, wish.turn or 0, record, now, ports.patience)
    mark = ports.conversations.mark(wish.conversation, wish.event)
    if mark is None:
        raise StaleResult("there is no such message")
    message = ports.conversations.message(wish.conversation, mark.sequence)
    if message is None or message.event != mark.event:  # another one has its place, where all of them were deleted
        raise StaleResult("that message was deleted")
    if mark.turn == conversation.turn:
        return rules.cancel(conversation, mark.turn, record, now, ports.patience)
    return rules.withdraw(conversation, mark, message, now)
