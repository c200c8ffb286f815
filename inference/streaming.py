"""A request's answer as server-sent events, as the openai client reads them. Frees its slots when the client goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import answers
from completion import Completion, Piece
from errors import ServiceError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tool_calls import CallReader

log = logging.getLogger("parley.http")

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies of the nginx kind would hold events back
]


class EventStream(Response):
    """An ASGI response that sends events as the engine makes them, and stops it when nobody listens any more."""

    def __init__(
        self, completion: Completion, on_end: Callable[[], None], on_error: Callable[[ServiceError], None]
    ) -> None:
        super().__init__(None)
        self.completion = completion
        self.on_end = on_end
        self.on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the answer or the client ends."""
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            else:
                log.info("client went away from a stream")
        finally:
            self.completion.close()
            for task in (sending, gone):
                task.cancel()
            self.on_end()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async for data in events(self.completion, self.on_error):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def events(completion: Completion, on_error: Callable[[ServiceError], None]) -> AsyncIterator[bytes]:
    """The events of an answer in order; a failure on the way is an event of its own, and the last."""
    asked = completion.prepared.request
    answer = answers.Answer(completion.prepared.model, completion.prepared.dropped)
    begin = {"role": "assistant", "content": "", "refusal": None}
    for index in range(asked.n):
        first = answer.chunk([answers.delta(index, begin)], asked.include_usage)
        yield answers.event({**first, "parley": {"dropped_messages": answer.dropped}})
    readers = [completion.call_reader() for _ in range(asked.n)]
    try:
        async for piece in completion.pieces():
            for part in _parts(completion, piece, readers[piece.index]):
                yield answers.event(answer.chunk([part], asked.include_usage))
    except ServiceError as error:
        on_error(error)
        yield answers.event(error.body())
        return
    if asked.include_usage:
        yield answers.event(answer.last_chunk(completion.usage()))
    yield answers.DONE


def _parts(completion: Completion, piece: Piece, reader: CallReader | None) -> list[dict[str, Any]]:
    """A piece as deltas: text; and if it is the last, what was held back, calls, and an empty one with the reason."""
    asked = completion.prepared.request
    text = reader.push(piece.text) if reader else piece.text
    calls: list[dict[str, Any]] = []
    if reader and piece.finish is not None:
        rest, calls = reader.finish()
        text += rest
    found = None
    if asked.top_logprobs is not None and piece.tokens:
        found = answers.logprobs(completion.loaded.chat, piece.tokens)
    parts = [answers.delta(piece.index, {"content": text}, None, found)] if text or found else []
    for number, call in enumerate(calls if asked.parallel_tool_calls else calls[:1]):
        parts.append(answers.delta(piece.index, {"tool_calls": [{"index": number, **call}]}))
    if piece.finish is not None:
        reason = answers.finish_reason(piece.finish, bool(calls))
        parts.append(answers.delta(piece.index, {}, reason))
    return parts
