"""The HTTP API's routes: OpenAI's Responses and Chat Completions over the path of a message."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from chalice.app import Request, Response

from chalicelib import edge
from chalicelib.wiring import new_trace, wiring
from parley.domain import limits
from parley.domain.progress import Progress, Stage
from parley.domain.request import Request as Asked
from parley.errors import BadRequest, NotFound, TooManyRequests
from parley.openai_api import chat_completions, failures, feedback, ids, responses
from parley.stages import answer_to_caller, caller_to_inbox
from parley.stages.caller_to_inbox import Place
from parley.stages.rating import rate

CANCEL_SECONDS = 10.0
"""How long a cancel waits to see itself happen; the inbox takes far less."""


def create_response(request: Request) -> Response:
    """POST /v1/responses."""

    def make() -> edge.Answer:
        caller = _admit(request)
        asked = responses.parse(edge.body_of(request))
        place, created = _submit(request, caller, asked)
        progress = Progress() if asked.background else _wait(place, wiring().settings.wait_seconds)
        _refuse_if_over(progress)
        return 200, _show(place, created, progress, asked), {}

    return _respond(request, make)


def create_completion(request: Request) -> Response:
    """POST /v1/chat/completions: the same path, but there is no id to come back with, so no answer is an error."""

    def make() -> edge.Answer:
        caller = _admit(request)
        asked = chat_completions.parse(edge.body_of(request))
        place, created = _submit(request, caller, asked)
        progress = _wait(place, wiring().settings.wait_seconds)
        _refuse_if_over(progress)
        if not progress.over:
            message = "The model has not answered in time; use /v1/responses to wait for longer."
            status, body, headers = failures.failure(504, message, "server_error", code="timeout")
            return status, body, {**headers, **failures.NO_RETRY}
        if progress.stage is not Stage.ANSWERED:
            message = (progress.turn and progress.turn.notice) or "The model failed."
            status, body, headers = failures.failure(500, message, "server_error", code="model_failed")
            return status, body, {**headers, **failures.NO_RETRY}
        id = ids.sign(wiring().signing_key, place.caller, place.thread, place.event).replace("resp_", "chatcmpl-", 1)
        return 200, chat_completions.show(id, asked.model, created, progress), {}

    return _respond(request, make)


def retrieve_response(request: Request, id: str) -> Response:
    """GET /v1/responses/{id}."""

    def make() -> edge.Answer:
        place = _place(_caller(request), id)
        return 200, _show_stored(id, answer_to_caller.look(place.conversation, place.event, _table())), {}

    return _respond(request, make)


def cancel_response(request: Request, id: str) -> Response:
    """POST /v1/responses/{id}/cancel: comes back with the response as it ended, cancelled or not."""

    def make() -> edge.Answer:
        place = _place(_caller(request), id)
        progress = answer_to_caller.look(place.conversation, place.event, _table())
        if not progress.over:
            caller_to_inbox.cancel(place, secrets.token_hex(12), new_trace(), wiring())
            progress = _wait(place, CANCEL_SECONDS)
        return 200, _show_stored(id, progress), {}

    return _respond(request, make)


def delete_response(request: Request, id: str) -> Response:
    """DELETE /v1/responses/{id}."""

    def make() -> edge.Answer:
        try:
            caller_to_inbox.delete(_place(_caller(request), id), wiring())
        except NotFound:
            raise _unknown(id) from None
        return 200, responses.show_deleted(id), {}

    return _respond(request, make)


def rate_response(request: Request, id: str) -> Response:
    """POST /v1/responses/{id}/feedback."""

    def make() -> edge.Answer:
        place = _place(_admit(request), id)
        given = feedback.parse(edge.body_of(request))
        progress = answer_to_caller.look(place.conversation, place.event, _table())
        if progress.stage not in (Stage.ANSWERED, Stage.DELETED):
            raise BadRequest("The response has no answer to rate.", code="response_not_completed")
        if progress.answer is None:
            raise _unknown(id)
        try:
            rate(place.conversation, progress.answer.sequence, given, wiring())
        except NotFound:
            raise _unknown(id) from None
        return 200, feedback.show(id, given), {}

    return _respond(request, make)


def list_models(request: Request) -> Response:
    """GET /v1/models."""

    def make() -> edge.Answer:
        _caller(request)
        return 200, chat_completions.show_models(wiring().bots.names()), {}

    return _respond(request, make)


def retrieve_model(request: Request, name: str) -> Response:
    """GET /v1/models/{name}."""

    def make() -> edge.Answer:
        _caller(request)
        if wiring().bots.get(name) is None:
            raise NotFound(f"The model '{name}' does not exist here.", param="model", code="model_not_found")
        return 200, chat_completions.show_model(name), {}

    return _respond(request, make)


def _respond(request: Request, make: Callable[[], edge.Answer]) -> Response:
    return edge.respond(wiring().telemetry, request, make, failures.show)


def _table() -> Any:
    return wiring().conversations


def _admit(request: Request) -> str:
    caller: str = wiring().callers.admit(edge.bearer(request), time.time())
    return caller


def _caller(request: Request) -> str:
    caller: str = wiring().callers.identify(edge.bearer(request))
    return caller


def _submit(request: Request, caller: str, asked: Asked) -> tuple[Place, float]:
    """Queue what was asked; comes back with where it is, and when that was.

    A repeat with the same Idempotency-Key lands in the same place, where the table knows it already.
    """
    repeat = request.headers.get("idempotency-key")
    name = hashlib.sha256(repeat.encode()).hexdigest()[:24] if repeat else secrets.token_hex(12)
    now = time.time()
    previous = None
    if asked.previous is not None:
        found = ids.verify(wiring().signing_key, caller, asked.previous)
        if found is None:
            message = f"Previous response with id '{asked.previous[:80]}' not found."
            raise BadRequest(message, param="previous_response_id", code="previous_response_not_found")
        previous = Place(caller, *found)
    place = Place(caller, f"t_{name}", name)
    return caller_to_inbox.submit(asked, place, previous, now, new_trace(), wiring()), now


def _wait(place: Place, seconds: float) -> Progress:
    return answer_to_caller.wait(
        place.conversation, place.event, seconds, conversations=_table(), clock=time.monotonic, pause=time.sleep
    )


def _refuse_if_over(progress: Progress) -> None:
    """Raises TooManyRequests when the turn was refused: between the door and its turn the caller began others."""
    kind = limits.refused_for(progress.turn.error) if progress.turn is not None else None
    if kind is not None:
        now = time.time()
        raise TooManyRequests((progress.turn and progress.turn.notice) or "", math.ceil(limits.until(kind, now) - now))


def _place(caller: str, id: str) -> Place:
    """Where a response is. Raises NotFound for an id that is not this caller's."""
    found = ids.verify(wiring().signing_key, caller, id)
    if found is None:
        raise _unknown(id)
    return Place(caller, *found)


def _unknown(id: str) -> NotFound:
    return NotFound(f"Response with id '{id[:80]}' not found.", param="response_id", code="not_found")


def _show(place: Place, created: float, progress: Progress, asked: Asked) -> dict[str, Any]:
    id = ids.sign(wiring().signing_key, place.caller, place.thread, place.event)
    return responses.show(id, created, progress, asked.options, asked.details)


def _show_stored(id: str, progress: Progress) -> dict[str, Any]:
    """The response as the table knows it. Raises NotFound when it was deleted."""
    mark = progress.mark
    if progress.stage is Stage.DELETED:
        raise _unknown(id)
    created = mark.created if mark is not None else time.time()
    options, details = (mark.options, mark.details) if mark is not None else ({}, {})
    return responses.show(id, created, progress, options, details)
