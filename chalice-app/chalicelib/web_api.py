"""What the web page asks for: its visitor's conversations, and nothing of anybody else's."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from chalice.app import Request, Response

from chalicelib import edge, visitors
from chalicelib.wiring import new_trace, wiring
from parley.domain.conversation import Conversation, Status
from parley.domain.message import MAX_TEXT_CHARACTERS, Cancel, Incoming, Message, conversation_id
from parley.domain.turn import Turn, TurnStatus
from parley.errors import BadRequest, NotFound, RequestError, Unauthorized
from parley.openai_api import failures, feedback, fields
from parley.stages.caller_to_inbox import admit, take_in
from parley.stages.rating import rate

CHANNEL, BOT = "web", "default"
PAGE = 50
MOST_CONVERSATIONS = 100
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def list_conversations(request: Request) -> Response:
    """GET /web/conversations."""

    def make(visitor: str) -> dict[str, Any]:
        found = wiring().conversations.of_user(_user(visitor), MOST_CONVERSATIONS)
        return {"conversations": [_entry(conversation) for conversation in found]}

    return _respond(request, make)


def show_conversation(request: Request, id: str) -> Response:
    """GET /web/conversations/{id}: the newest messages, or with `before` those that are older."""

    def make(visitor: str) -> dict[str, Any]:
        name = _conversation(visitor, id)
        before = edge.query_of(request).get("before")
        conversation, messages = wiring().conversations.load(name, 0 if before else PAGE)
        if conversation is None:
            raise NotFound("There is no such conversation.")
        if before:
            messages = wiring().conversations.messages(name, _sequence(before, "before"), PAGE)
        turn = wiring().conversations.turn(name, conversation.turn)
        return {
            "id": id,
            "title": conversation.title,
            "messages": [_message(message) for message in messages if message.role in ("user", "assistant")],
            "turn": _turn(turn) if turn is not None else None,
            "earlier": bool(messages) and messages[0].sequence > 1,
        }

    return _respond(request, make)


def send_message(request: Request, id: str) -> Response:
    """POST /web/conversations/{id}/messages."""

    def make(visitor: str) -> dict[str, Any]:
        body = fields.read_object(edge.body_of(request))
        text = fields.text(body, "text", MAX_TEXT_CHARACTERS, required=True) or ""
        client_id = fields.text(body, "client_id", 64, required=True) or ""
        if not text.strip():
            raise BadRequest("The message is empty.", param="text")
        incoming = Incoming(
            event=_known(client_id, "client_id"), conversation=_conversation(visitor, id), bot=BOT,
            user=_user(visitor), text=text, received=time.time(), trace=new_trace(),
        )  # fmt: skip
        take_in(incoming, CHANNEL, wiring(), speaks=text)
        return {"id": id, "client_id": client_id}

    return _respond(request, make, status=202)


def rate_answer(request: Request, id: str, sequence: str) -> Response:
    """POST /web/conversations/{id}/messages/{sequence}/feedback."""

    def make(visitor: str) -> dict[str, Any]:
        name, number = _conversation(visitor, id), _sequence(sequence, "sequence")
        given = feedback.parse(edge.body_of(request))
        admit(_user(visitor), name, time.time(), wiring(), opens=False)
        rate(name, number, given, wiring())
        return {"sequence": number, "feedback": given}

    return _respond(request, make)


def cancel_turn(request: Request, id: str) -> Response:
    """POST /web/conversations/{id}/cancel: ask for the end of the turn in progress."""

    def make(visitor: str) -> dict[str, Any]:
        conversation = wiring().conversations.find(_conversation(visitor, id))
        if conversation is None:
            raise NotFound("There is no such conversation.")
        if conversation.status is Status.IDLE:
            return {"cancelled": False}
        trace = new_trace()
        wish = Cancel(id=secrets.token_hex(12), conversation=conversation.id, trace=trace, turn=conversation.turn)
        wiring().inbox.put(wish)
        return {"cancelled": True}

    return _respond(request, make)


def delete_conversation(request: Request, id: str) -> Response:
    """DELETE /web/conversations/{id}."""

    def make(visitor: str) -> dict[str, Any]:
        wiring().conversations.forget(_conversation(visitor, id))
        return {"deleted": True}

    return _respond(request, make)


def _respond(request: Request, make: Callable[[str], dict[str, Any]], status: int = 200) -> Response:
    def answer() -> edge.Answer:
        return status, make(_visitor(request)), {}

    return edge.respond(wiring().telemetry, request, answer, _show_error)


def _show_error(error: RequestError) -> edge.Answer:
    status, body, headers = failures.show(error)
    return status, {"error": {"message": body["error"]["message"]}}, headers


def _visitor(request: Request) -> str:
    """Who asks. What changes something must also carry a header that no other site can send without being allowed."""
    visitor = visitors.read(wiring().signing_key, request.headers.get("cookie") or "")
    if visitor is None:
        raise Unauthorized("No visitor's cookie: open the page first, with cookies allowed.")
    if request.method != "GET" and request.headers.get("x-parley") != "1":
        raise Unauthorized("The X-Parley header is missing.")
    return visitor


def _user(visitor: str) -> str:
    return f"{CHANNEL}:{visitor}"


def _conversation(visitor: str, id: str) -> str:
    return conversation_id(CHANNEL, visitor, _known(id, "id"))


def _known(id: str, param: str) -> str:
    if not _ID.fullmatch(id):
        raise BadRequest(f"'{param}' must be a UUID in lower case.", param=param)
    return id


def _sequence(text: str, param: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise BadRequest(f"'{param}' must be a message's sequence.", param=param)
    return int(text)


def _entry(conversation: Conversation) -> dict[str, Any]:
    id = conversation.id.rpartition(":")[2]
    return {
        "id": id,
        "title": conversation.title,
        "updated": conversation.updated,
        "status": conversation.status,
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "sequence": message.sequence,
        "turn": message.turn,
        "role": message.role,
        "text": message.text,
        "created": message.created,
        "client_id": message.event,
        "feedback": message.feedback,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    state: str = turn.status
    if turn.status is TurnStatus.THINKING and not wiring().backend.awake():
        state = "waking"
    estimate = wiring().guard.estimate() if state == "waking" else None
    return {"number": turn.number, "state": state, "error": turn.notice, "estimate": estimate}
