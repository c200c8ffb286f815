"""The HTTP surface: SageMaker's container contract and OpenAI's paths, as an ASGI application.

Knows requests, statuses and disconnects; what an answer is made of is in `completion.py` and `answers.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import answers
from errors import BodyTooLarge, InvalidRequest, NoEmbeddings, Overloaded, ServiceError, origin
from protocol import ChatRequest, parse
from settings import Settings
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from chat import Pictures
    from completion import Completion
    from loading import Loaded
    from pictures import PictureReader

log = logging.getLogger("parley.http")


MOST_DISCARDED = 8
"""How many times the limit is read from a client that sends too much, so that it hears why; then the line is cut."""


@dataclass
class Service:
    """What the routes share. `loaded` is None until the model is there."""

    settings: Settings
    loaded: Loaded | None = None
    started: float = field(default_factory=time.time)
    refused: dict[str, int] = field(default_factory=dict)
    # Few threads: each may wait for somebody else's server.
    fetching: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "pictures"))
    # One thread: tokenizing is work for one core, and a tokenizer is not shared by threads.
    preparing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "prepare"))

    def picture_reader(self) -> PictureReader:
        """Reads pictures within the bounds that are set."""
        from addresses import Fetcher
        from pictures import PictureReader

        given = self.settings
        return PictureReader(
            most_bytes=given.image_bytes,
            most_pixels=given.image_pixels,
            fetcher=Fetcher(given.image_bytes, given.image_seconds),
            buckets=frozenset(filter(None, given.image_buckets.split(","))),
        )

    @property
    def ready(self) -> bool:
        """True while the model can answer."""
        return self.loaded is not None and self.loaded.engine.alive

    def count(self, error: ServiceError) -> None:
        """Note an error that a caller got, by its code, for the metrics."""
        code = error.code or error.type
        self.refused[code] = self.refused.get(code, 0) + 1

    def use(self, loaded: Loaded) -> None:
        """Begin to serve a model."""
        loaded.engine.start()
        self.loaded = loaded


def build(service: Service) -> Starlette:
    """The application over a service that may still be loading its model."""
    routes = [
        Route("/ping", _with(service, ping), methods=["GET"]),
        Route("/invocations", _with(service, chat_completions), methods=["POST"]),
        Route("/v1/chat/completions", _with(service, chat_completions), methods=["POST"]),
        Route("/v1/embeddings", _with(service, embeddings), methods=["POST"]),
        Route("/v1/models", _with(service, list_models), methods=["GET"]),
        Route("/metrics", _with(service, metrics), methods=["GET"]),
    ]

    async def http_error(request: Request, error: Exception) -> Response:
        return _http_error(service, request, error)

    return Starlette(routes=routes, exception_handlers={HTTPException: http_error})


async def ping(service: Service, request: Request) -> Response:
    """200 while the model can answer, 503 before that and after its thread has died."""
    if service.ready:
        return _json({"status": "ok"})
    return _json({"status": "loading" if service.loaded is None else "dead"}, 503)


async def list_models(service: Service, request: Request) -> Response:
    """The models that can be asked for."""
    loaded = _ready(service)
    embedder = loaded.embedder.name if loaded.embedder else None
    return _json(answers.models(loaded.name, loaded.adapters, embedder, int(service.started)))


async def metrics(service: Service, request: Request) -> Response:
    """Prometheus' text format."""
    from metrics import render

    engine = service.loaded.engine if service.loaded else None
    return Response(render(engine, service.refused), media_type="text/plain; version=0.0.4")


async def chat_completions(service: Service, request: Request) -> Response:
    """A Chat Completions request, answered whole or as a stream of events."""
    # Imported on first use: they need torch, which loads in its own thread while /ping already answers.
    from completion import Completion, prepare
    from streaming import EventStream

    loaded = _ready(service)
    asked = parse(await _body(request, service.settings.max_body_bytes))
    pictures = await _pictures(service, loaded, asked)
    try:
        prepared = await asyncio.get_running_loop().run_in_executor(
            service.preparing, prepare, asked, loaded, service.settings.max_tokens, pictures
        )
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply.", code="too_deep") from error
    completion = Completion(loaded, prepared)
    completion.submit()
    if asked.stream:
        return EventStream(completion, lambda: _log_request(completion), service.count)
    try:
        return await _unless_gone(request, asyncio.ensure_future(_whole(completion)))
    finally:
        completion.close()
        _log_request(completion)


async def embeddings(service: Service, request: Request) -> Response:
    """An Embeddings request."""
    from embedding_requests import parse, respond

    loaded = _ready(service)
    raw = await _body(request, service.settings.max_body_bytes)
    if loaded.embedder is None:
        raise NoEmbeddings()
    loop = asyncio.get_running_loop()
    asked, ids = await loop.run_in_executor(service.preparing, parse, raw, loaded.embedder)
    embedder = loaded.embedder
    work = embedder.submit(ids)

    async def vectors() -> Response:
        found = await asyncio.wrap_future(work)
        tokens = sum(len(text) for text in ids)
        return _json(await loop.run_in_executor(service.preparing, respond, found, asked, embedder.name, tokens))

    try:
        return await _unless_gone(request, asyncio.ensure_future(vectors()))
    finally:
        work.cancel()


async def _pictures(service: Service, loaded: Loaded, asked: ChatRequest) -> Pictures:
    """The request's pictures, read beside each other. Raises InvalidRequest for one that cannot be used."""
    sources = list(dict.fromkeys(asked.pictures))
    if not sources:
        return {}
    if loaded.chat.vision is None:
        where = sources[0].where
        message = f"'{where}' is an image, but this model reads text only."
        raise InvalidRequest(message, param=where, code="unsupported_content")
    if len(sources) > service.settings.images:
        message = f"The request has {len(sources)} images; at most {service.settings.images} are read."
        raise InvalidRequest(message, param=sources[service.settings.images].where, code="too_many_images")
    loop = asyncio.get_running_loop()
    reader = service.picture_reader()
    reads = [loop.run_in_executor(service.fetching, reader.read, source) for source in sources]
    return dict(zip(sources, await asyncio.gather(*reads), strict=True))


async def _whole(completion: Completion) -> Response:
    from whole import whole_answer

    return _json(await whole_answer(completion))


async def _unless_gone(request: Request, work: asyncio.Future[Response]) -> Response:
    """The work's result; cancelled as soon as the client has gone away."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        tasks: set[asyncio.Future[Any]] = {work, gone}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect()
        return work.result()
    finally:
        for task in (work, gone):
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _body(request: Request, limit: int) -> bytes:
    """The request's body. Raises BodyTooLarge past `limit` bytes, of which no more are held."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            # Read on without keeping it: a client that is still sending would see a reset instead of the answer.
            parts.clear()
        if size > limit * MOST_DISCARDED:
            break
    if size > limit:
        raise BodyTooLarge(limit)
    return b"".join(parts)


def _ready(service: Service) -> Loaded:
    if service.loaded is None:
        raise Overloaded("The model is still loading. Try again soon.", retry_after=5, code="model_loading")
    if not service.ready:
        message = "The model has stopped working; the server must restart."
        raise Overloaded(message, retry_after=30, code="engine_dead")
    return service.loaded


Handler = Callable[[Service, Request], Awaitable[Response]]


def _with(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler as a route; its errors become bodies in OpenAI's shape."""

    async def route(request: Request) -> Response:
        try:
            return await handler(service, request)
        except ServiceError as error:
            service.count(error)
            return _json(error.body(), error.status, error.headers())
        except ClientDisconnect:
            log.info("client went away")
            return Response(status_code=499)
        except Exception as error:
            log.error("a request failed: %s", origin(error))
            failure = ServiceError("The server failed on this request; its log says more.", code="internal_error")
            service.count(failure)
            return _json(failure.body(), 500)

    return route


def _http_error(service: Service, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    wrong = InvalidRequest(
        f"There is no {request.method} {request.url.path} here.",
        code="not_found" if status == 404 else "method_not_allowed",
    )
    service.count(wrong)
    headers = error.headers if isinstance(error, HTTPException) else None
    return _json(wrong.body(), status, dict(headers or {}))


def _json(payload: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(answers.dumps(payload), status, headers, media_type="application/json")


def _log_request(completion: Completion) -> None:
    usage = completion.usage()
    log.info(
        "request ended: %d messages, %d dropped, %d tokens in, %d out, %s",
        len(completion.prepared.request.messages),
        completion.prepared.dropped,
        usage["prompt_tokens"],
        usage["completion_tokens"],
        ",".join(sequence.finished.value if sequence.finished else "left" for sequence in completion.sequences),
    )
