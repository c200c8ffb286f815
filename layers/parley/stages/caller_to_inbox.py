"""The way in for callers of the HTTP API: a request becomes a record in the inbox, or one is taken back or deleted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

from parley.domain import notices, prompt
from parley.domain.limits import Over
from parley.domain.message import Cancel, Incoming, Said, conversation_id
from parley.domain.request import Request
from parley.errors import BadRequest, Conflict, NotFound, OverLimit, TooManyRequests
from parley.ports import Ports

CHANNEL = "api"
PREFACE_BYTES = 200_000
"""How much of an earlier conversation a branch takes along, where the new message leaves room for it."""
ITEM_BYTES = 380_000
"""How much text one item of the table may hold: DynamoDB takes 400 KiB, names and numbers among them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a caller's message is: its thread, and its event within it. Neither contains a dot."""

    caller: str
    thread: str
    event: str

    @property
    def conversation(self) -> str:
        """The conversation's id: it begins with the caller, so that no caller can name another's."""
        return conversation_id(CHANNEL, self.caller, self.thread)


def submit(request: Request, place: Place, previous: Place | None, now: float, trace: str, ports: Ports) -> Place:
    """Put the request into the inbox; comes back with where it is. `place` is where a new conversation would be.

    Raises NotFound for an unknown bot, BadRequest when the previous response was deleted, TooManyRequests.
    """
    if ports.bots.get(request.model) is None:
        message = f"The model '{request.model}' does not exist here; this deployment serves {ports.bots.names()}."
        raise NotFound(message, param="model", code="model_not_found")
    preface = tuple(request.preface)
    if request.conversation is not None:
        place = replace(place, thread=f"c_{request.conversation}")
    elif previous is not None:
        wishes = json.dumps(dict(request.options), ensure_ascii=False)
        own = sum(map(prompt.size, (Said("system", wishes), Said("user", request.text), *preface)))
        branch = _branch(previous, min(PREFACE_BYTES, ITEM_BYTES - own), ports)
        place = place if branch is not None else replace(place, thread=previous.thread)
        preface = (*(branch or ()), *preface)
    incoming = Incoming(
        event=place.event, conversation=place.conversation, bot=request.model, user=f"{CHANNEL}:{place.caller}",
        text=request.text, received=now, trace=trace, preface=preface, options=request.options,
        details=request.details,
    )  # fmt: skip
    take_in(incoming, CHANNEL, ports)
    return place


def take_in(incoming: Incoming, channel: str, ports: Ports, speaks: str = "") -> None:
    """Put a message into the inbox, unless its user is over a limit: who asks over HTTP can be told at once.

    Raises TooManyRequests, in the language of the text `speaks`.
    """
    ports.telemetry.follow(incoming.trace, incoming.conversation)
    admit(incoming.user, incoming.conversation, incoming.received, ports, speaks)
    ports.inbox.put(incoming)
    ports.telemetry.count("MessagesReceived")
    ports.telemetry.note("message received", channel=channel, characters=len(incoming.text))


def admit(user: str, conversation: str, now: float, ports: Ports, speaks: str = "", opens: bool = True) -> None:
    """Count a user's request; one that `opens` no turn needs no room for one. Raises TooManyRequests."""
    try:
        ports.allowances.admit(user, conversation, now, opens)
    except OverLimit as limit:
        raise too_many(limit.over, speaks, now) from None


def too_many(over: Over, speaks: str, now: float) -> TooManyRequests:
    """The refusal for a limit, in the language of the text `speaks`."""
    return TooManyRequests(notices.over(speaks, over), max(1, math.ceil(over.until - now)))


def cancel(place: Place, id: str, trace: str, ports: Ports) -> None:
    """Put the wish to stop into the inbox, behind the message that it is about."""
    ports.telemetry.follow(trace, place.conversation)
    ports.inbox.put(Cancel(id=id, conversation=place.conversation, trace=trace, event=place.event))


def delete(place: Place, ports: Ports) -> None:
    """Remove the message and, where no other message shares it, the answer. Raises BadRequest while it is unfinished.

    Raises NotFound when it was deleted before.
    """
    mark = ports.conversations.mark(place.conversation, place.event)
    turn = ports.conversations.turn(place.conversation, mark.turn) if mark is not None else None
    if mark is not None and mark.deleted:
        raise NotFound("It was deleted before.")
    if mark is None or (not mark.cancelled and (turn is None or turn.status == "thinking")):
        raise BadRequest("The response is not finished: cancel it first.", code="response_not_finished")
    sequences = [mark.sequence]
    if turn is not None and turn.answer is not None and not mark.cancelled:
        around = ports.conversations.messages(place.conversation, turn.answer, prompt.HISTORY_MESSAGES)
        shared = any(m.turn == turn.number and m.role == "user" and m.sequence != mark.sequence for m in around)
        sequences += [] if shared else [turn.answer]
    gone = replace(mark, deleted=True, options={}, details={})
    try:
        ports.conversations.forget_messages(place.conversation, gone, sequences)
    except Conflict:
        raise NotFound("It was deleted before.") from None


def _branch(previous: Place, room: int, ports: Ports) -> tuple[Said, ...] | None:
    """What was said up to the previous response, when more was said after it; None when it is the latest.

    A conversation is one line: answering an older response again begins a new one, which takes this along.
    """
    mark = ports.conversations.mark(previous.conversation, previous.event)
    if mark is None:
        return None
    if mark.deleted:
        message = "The previous response was deleted."
        raise BadRequest(message, param="previous_response_id", code="previous_response_not_found")
    conversation = ports.conversations.find(previous.conversation)
    if conversation is None or (conversation.turn <= mark.turn and not conversation.pending):
        return None
    turn = ports.conversations.turn(previous.conversation, mark.turn)
    last = turn.answer if turn is not None and turn.answer is not None else mark.sequence
    before = ports.conversations.messages(previous.conversation, last + 1, prompt.HISTORY_MESSAGES)
    said = (m for m in before if m.turn <= mark.turn and m.role in ("user", "assistant"))
    return tuple(prompt.newest(prompt.flatten(sorted(said, key=lambda m: (m.turn, m.sequence))), room))
