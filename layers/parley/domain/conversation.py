"""The conversation as a state machine: `idle -> thinking(turn, step) -> idle`.

Each function takes a conversation and something that happened, and gives back the Change to write and the effects
that follow once it is written. Nothing here reads a clock, a store or a queue. Every function is total over states:
what does not fit the state raises StaleResult, and the caller drops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from parley.domain import notices
from parley.domain.limits import Over
from parley.domain.message import Incoming, Message
from parley.domain.turn import Ask, ModelReply, Outgoing, Patience, Turn, TurnStatus, TurnUpdate, is_read_on_demand
from parley.errors import StaleResult

TITLE_CHARACTERS = 60


class Status(StrEnum):
    """Whether the conversation waits for its user or for the model."""

    IDLE = "idle"
    THINKING = "thinking"


@dataclass(frozen=True, slots=True)
class Conversation:
    """One thread with one bot.

    `turn` is the number of the turn in progress or, when idle, of the last one; `step` and `attempt` say which result
    is waited for. `pending` counts the messages that belong to turn + 1, `next_trace` is the newest one's correlation
    id. `asked_by` names the queue record whose run was to call the model: when that record comes again, its run may
    have died before the call. `sequence` is that of the newest message. `version` grows by one with every write.

    The turn in progress answers the messages from sequence `since` to `upto`; what comes later waits for the next.
    Both are 0 where nobody wrote them down.
    """

    id: str
    bot: str
    user: str
    created: float
    updated: float
    title: str = ""
    version: int = 0
    status: Status = Status.IDLE
    turn: int = 0
    step: int = 0
    attempt: int = 0
    sequence: int = 0
    pending: int = 0
    asked_by: str = ""
    trace: str = ""
    next_trace: str = ""
    reply_to: Mapping[str, str] = field(default_factory=dict)
    since: int = 0
    upto: int = 0

    def waits_for(self, turn: int, step: int) -> bool:
        """Whether a result for (turn, step) is the one being waited for."""
        return self.status is Status.THINKING and (self.turn, self.step) == (turn, step)

    def ask(self) -> Ask:
        """The model call that the conversation waits for."""
        return Ask(self.id, self.turn, self.step, self.attempt, self.trace)


@dataclass(frozen=True, slots=True)
class EventMark:
    """What is left of an event that was stored: a repeat of it finds this. `details` is what the API shows again."""

    event: str
    turn: int
    sequence: int
    created: float
    cancelled: bool = False
    deleted: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction: what to write, if the stored version is still `before` (0: there must be no conversation).

    `new_mark` must not be there yet; `mark` replaces. `ask`, `say` and then `refusal` are what to do once the write is
    done. `over` is the limit for which the turn that is opened has ended already; `refusal` tells its user so. `guest`
    wrote the messages, where that is not the conversation's own user: it is noted where else a user's words are.
    """

    before: int
    after: Conversation
    messages: tuple[Message, ...] = ()
    guest: str | None = None
    opened: Turn | None = None
    updated: TurnUpdate | None = None
    new_mark: EventMark | None = None
    mark: EventMark | None = None
    ask: Ask | None = None
    say: Outgoing | None = None
    over: Over | None = None
    refusal: Outgoing | None = None

    @property
    def failed(self) -> bool:
        """Whether it ends a turn without an answer."""
        return self.updated is not None and self.updated.status is TurnStatus.FAILED


def accept(
    conversation: Conversation | None, incoming: Incoming, record: str, now: float, patience: Patience
) -> Change:
    """A user's message arrives: it opens a turn when the conversation is idle, and waits for the next one otherwise."""
    if conversation is None:
        conversation = Conversation(
            id=incoming.conversation, bot=incoming.bot, user=incoming.user, created=now, updated=now,
            title=_title(incoming.text), reply_to=incoming.reply_to,
        )  # fmt: skip
    number = conversation.turn + 1
    message = Message(
        sequence=conversation.sequence + 1, turn=number, role="user", text=incoming.text, created=now,
        event=incoming.event, preface=incoming.preface, options=incoming.options,
    )  # fmt: skip
    mark = EventMark(
        event=incoming.event, turn=number, sequence=message.sequence, created=now,
        options=incoming.options, details=incoming.details,
    )  # fmt: skip
    after = replace(conversation, version=conversation.version + 1, updated=now, sequence=message.sequence)
    guest = incoming.user if incoming.user != conversation.user else None
    change = Change(before=conversation.version, after=after, messages=(message,), guest=guest, new_mark=mark)
    if conversation.status is Status.THINKING:
        return replace(change, after=replace(after, pending=after.pending + 1, next_trace=incoming.trace))
    return _open(change, record, incoming.trace, now, patience)


def answer(
    conversation: Conversation, turn: int, step: int, reply: ModelReply, record: str, now: float, patience: Patience
) -> Change:
    """The model's text for (turn, step) ends the turn; messages that waited become the next one.

    Raises StaleResult when that result is not waited for.
    """
    _must_wait_for(conversation, turn, step)
    message = Message(conversation.sequence + 1, turn, "assistant", reply.text, now)
    on_demand = is_read_on_demand(conversation.id)
    update = TurnUpdate(
        turn,
        TurnStatus.DELIVERED if on_demand else TurnStatus.ANSWERED,
        deadline=None if on_demand else now + patience.delivery,
        answer=message.sequence, usage=reply.usage, finish=reply.finish, ended=now,
    )  # fmt: skip
    change = _close(replace(conversation, sequence=message.sequence), update, now)
    say = None if on_demand else _outgoing(conversation, reply.text)
    return _open_next(replace(change, messages=(message,), say=say), record, now, patience)


def fail(conversation: Conversation, error: str, notice: str, record: str, now: float, patience: Patience) -> Change:
    """The turn in progress ends without an answer, and the user is told so. Raises StaleResult when there is none."""
    _must_wait_for(conversation, conversation.turn, conversation.step)
    on_demand = is_read_on_demand(conversation.id)
    update = TurnUpdate(
        conversation.turn, TurnStatus.FAILED, deadline=None if on_demand else now + patience.delivery,
        error=error, notice=notice, ended=now,
    )  # fmt: skip
    change = _close(conversation, update, now)
    say = None if on_demand else _outgoing(conversation, notice)
    return _open_next(replace(change, say=say), record, now, patience)


def cancel(conversation: Conversation, turn: int, record: str, now: float, patience: Patience) -> Change:
    """The user does not want the answer any more. Raises StaleResult when that turn is not in progress."""
    _must_wait_for(conversation, turn, conversation.step)
    change = _close(conversation, TurnUpdate(turn, TurnStatus.CANCELLED, deadline=None, ended=now), now)
    return _open_next(change, record, now, patience)


def withdraw(conversation: Conversation, mark: EventMark, message: Message, now: float) -> Change:
    """The user takes back a message that still waits for its turn; the model will not see it.

    Raises StaleResult when its turn has begun.
    """
    if conversation.status is not Status.THINKING or mark.turn != conversation.turn + 1 or mark.cancelled:
        raise StaleResult(f"event {mark.event} does not wait for a turn")
    after = replace(conversation, version=conversation.version + 1, updated=now, pending=conversation.pending - 1)
    withdrawn = replace(message, role="withdrawn")
    return Change(conversation.version, after, messages=(withdrawn,), mark=replace(mark, cancelled=True))


def retry(conversation: Conversation, record: str, now: float, patience: Patience) -> Change:
    """The step in progress is asked once more, under a new name. Raises StaleResult when there is none."""
    _must_wait_for(conversation, conversation.turn, conversation.step)
    attempt = conversation.attempt + 1
    after = replace(conversation, version=conversation.version + 1, updated=now, attempt=attempt, asked_by=record)
    update = TurnUpdate(conversation.turn, TurnStatus.THINKING, deadline=now + patience.answer, attempt=attempt)
    return Change(conversation.version, after, updated=update, ask=after.ask())


def refuse(change: Change, over: Over, now: float, patience: Patience) -> Change:
    """The change, whose new turn ends as it opens because its user is over a limit; unchanged where none opens.

    A channel's user hears of it once in a minute or day; who fetches the turn always finds the reason there.
    """
    if change.opened is None:
        return change
    on_demand = is_read_on_demand(change.after.id)
    asked = next((message.text for message in change.messages if message.role == "user"), change.after.title)
    notice = None if over.told and not on_demand else notices.over(asked, over)
    owes = notice is not None and not on_demand
    ended = replace(
        change.opened, status=TurnStatus.FAILED, deadline=now + patience.delivery if owes else None,
        error=over.error, notice=notice, ended=now,
    )  # fmt: skip
    after = replace(change.after, status=Status.IDLE)
    refusal = _outgoing(after, notice) if notice is not None and owes else None
    return replace(change, after=after, opened=ended, ask=None, over=over, refusal=refusal)


def _must_wait_for(conversation: Conversation, turn: int, step: int) -> None:
    if not conversation.waits_for(turn, step):
        raise StaleResult(f"turn {turn} step {step} is not waited for")


def _open(change: Change, record: str, trace: str, now: float, patience: Patience) -> Change:
    """The change, which also opens the next turn."""
    before = change.after
    number = before.turn + 1
    after = replace(
        before, status=Status.THINKING, turn=number, step=1, attempt=1, pending=0, asked_by=record, trace=trace,
        since=before.upto + 1 if before.upto else before.sequence - before.pending, upto=before.sequence,
    )  # fmt: skip
    turn = Turn(after.id, number, TurnStatus.THINKING, opened=now, deadline=now + patience.answer, trace=trace)
    return replace(change, after=after, opened=turn, ask=after.ask())


def _close(conversation: Conversation, update: TurnUpdate, now: float) -> Change:
    """The change that ends the turn in progress."""
    after = replace(conversation, version=conversation.version + 1, updated=now, status=Status.IDLE)
    return Change(conversation.version, after, updated=update)


def _open_next(change: Change, record: str, now: float, patience: Patience) -> Change:
    """The change, which also opens the next turn when messages wait for it."""
    return _open(change, record, change.after.next_trace, now, patience) if change.after.pending else change


def _outgoing(conversation: Conversation, text: str) -> Outgoing:
    return Outgoing(
        conversation.id, conversation.turn, conversation.bot, text, conversation.trace, conversation.reply_to
    )


def _title(text: str) -> str:
    """The first words of a conversation, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + "…"
