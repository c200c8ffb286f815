"""API Gateway's REST proxy on one machine: HTTP in, the event to the Chalice app, its answer out.

Builds the event as API Gateway does (payload version 1.0) and knows Chalice's routes; knows nothing of
what they do. Unlike ``chalice local`` it serves many threads, times calls out after 29 s as the real
one does, and answers unknown paths in the shape of the public API's errors.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from chalice.app import Chalice
from chalice.local import LocalChalice

from scripts.local.http_server import HttpRequest, HttpResponse
from scripts.local.lambda_context import ACCOUNT, LambdaContext

BODY_LIMIT = 10 * 1024 * 1024  # API Gateway: 10 MB
INTEGRATION_SECONDS = 29.0  # API Gateway's default integration time-out
LAMBDA_PAYLOAD_LIMIT = 6 * 1024 * 1024  # Lambda: 6 MB each way for a synchronous call
STAGE = "api"

Event = dict[str, Any]


class ThreadedRequests(LocalChalice):
    """Chalice with the current request and context kept by thread (``chalice local``: the request only)."""

    _context = threading.local()

    @property
    def lambda_context(self) -> Any:
        """The context of this thread's invocation, or None outside one."""
        return getattr(self._context, "value", None)

    @lambda_context.setter
    def lambda_context(self, value: Any) -> None:
        self._context.value = value


def make_thread_safe(app: Chalice) -> Chalice:
    """Return the same app, its current request and context no longer shared between threads."""
    if isinstance(app, ThreadedRequests):
        return app
    app.__class__ = type("ThreadedChalice", (ThreadedRequests, app.__class__), {})
    return app


@dataclass(frozen=True)
class Match:
    """A route's pattern, such as ``/v1/responses/{id}``, and the raw path's values for its parameters."""

    pattern: str
    parameters: dict[str, str]


class RouteTable:
    """The patterns of an app's routes and the methods of each."""

    def __init__(self, methods_by_pattern: Mapping[str, Iterable[str]]) -> None:
        self.methods = {pattern: frozenset(methods) for pattern, methods in methods_by_pattern.items()}
        # a literal segment wins over a parameter, as in API Gateway; "{" sorts after letters and digits
        self._patterns = sorted((pattern.split("/"), pattern) for pattern in self.methods)

    def match(self, path: str) -> Match | None:
        """Return the best match for a raw path (a trailing slash does not count), or None."""
        segments = (path.rstrip("/") or "/").split("/") if path != "/" else ["", ""]
        for parts, pattern in self._patterns:
            if len(parts) != len(segments):
                continue
            pairs = list(zip(parts, segments, strict=True))
            if all(part == segment or (_is_parameter(part) and segment) for part, segment in pairs):
                return Match(pattern, {part[1:-1]: segment for part, segment in pairs if _is_parameter(part)})
        return None


def _is_parameter(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


class Gateway:
    """Answers HTTP requests by invoking a Chalice app as Lambda would. Call from any number of threads."""

    def __init__(
        self,
        app: Chalice,
        make_context: Callable[[], LambdaContext],
        integration_seconds: float = INTEGRATION_SECONDS,
    ) -> None:
        self._app = make_thread_safe(app)
        self._routes = RouteTable(app.routes)
        self._binary_types = set(app.api.binary_types)
        self._make_context = make_context
        self._integration_seconds = integration_seconds

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the app's response; 404 or 405 for unknown routes, 502 after a crash, 504 when too slow."""
        path, _, query = request.target.partition("?")
        if not path.startswith("/"):
            return refuse(400, f"The request target must begin with a slash, not {path[:40]!r}.")
        match = self._routes.match(path)
        if match is None:
            return refuse(404, f"Unknown path: {request.method} {path[:200]}. Check the address.")
        methods = self._routes.methods[match.pattern]
        method = "GET" if request.method == "HEAD" and "HEAD" not in methods else request.method
        if method not in methods:
            response = refuse(405, f"{request.method} is not allowed here; use {' or '.join(sorted(methods))}.")
            return HttpResponse(405, [*response.headers, ("Allow", ", ".join(sorted(methods)))], response.body)
        event = proxy_event(request, method, path, query, match, self._binary_types)
        if len(event["body"] or "") > LAMBDA_PAYLOAD_LIMIT:
            return refuse(413, f"The body is too long for a function: at most {LAMBDA_PAYLOAD_LIMIT} bytes.")
        return self._invoke(event)

    def _invoke(self, event: Event) -> HttpResponse:
        outcome: list[HttpResponse] = []

        def call() -> None:
            try:
                outcome.append(_to_http(self._app(event, self._make_context())))
            except Exception:
                traceback.print_exc()
                outcome.append(refuse(502, "Internal server error."))

        # in a thread of its own, so that a call that never returns costs this client 29 s and no more
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(self._integration_seconds)
        return outcome[0] if outcome else refuse(504, "The function did not answer in time.")


def proxy_event(
    request: HttpRequest, method: str, path: str, query: str, match: Match, binary_types: set[str]
) -> Event:
    """Return the event that API Gateway's Lambda proxy integration (payload 1.0) makes of a request."""
    kept = [pair for pair in request.headers if pair[0].lower() not in {"x-forwarded-for", "x-forwarded-proto"}]
    headers = [*kept, *_forwarding_headers(request)]
    arguments = parse_qsl(query, keep_blank_values=True)
    body, encoded = _event_body(request, binary_types)
    now = time.time()
    return {
        "resource": match.pattern,
        "path": path,
        "httpMethod": method,
        "headers": dict(headers),
        "multiValueHeaders": _grouped(headers),
        "queryStringParameters": dict(arguments) or None,
        "multiValueQueryStringParameters": _grouped(arguments) or None,
        "pathParameters": match.parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.header("Host") or "127.0.0.1",
            "extendedRequestId": uuid.uuid4().hex,
            "httpMethod": method,
            "identity": {"sourceIp": request.client, "userAgent": request.header("User-Agent")},
            "path": f"/{STAGE}{path}",
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "requestTimeEpoch": int(now * 1000),
            "resourceId": "local",
            "resourcePath": match.pattern,
            "stage": STAGE,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def _forwarding_headers(request: HttpRequest) -> list[tuple[str, str]]:
    earlier = request.header("X-Forwarded-For")
    forwarded = f"{earlier}, {request.client}" if earlier else request.client
    return [("X-Forwarded-For", forwarded), ("X-Forwarded-Proto", "http")]


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def _event_body(request: HttpRequest, binary_types: set[str]) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    media_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type not in binary_types:
        try:
            return request.body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass  # text cannot carry these bytes: base64 keeps them whole for signatures and error answers
    return base64.b64encode(request.body).decode("ascii"), True


def _to_http(answer: Any) -> HttpResponse:
    """Return a Lambda proxy answer as HTTP; 502 when it is none, as API Gateway says of a malformed one."""
    if not isinstance(answer, dict) or not isinstance(answer.get("statusCode"), int):
        return refuse(502, "Internal server error.")
    headers = {name: [str(value)] for name, value in (answer.get("headers") or {}).items()}
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers[name] = [str(value) for value in values]
    body = answer.get("body") or ""
    if len(body) > LAMBDA_PAYLOAD_LIMIT:
        return refuse(502, "The answer is too long for a function.")
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode("utf-8")
    pairs = [(name, _one_line(value)) for name, values in headers.items() for value in values]
    kept = [pair for pair in pairs if pair[0].lower() not in {"content-length", "connection"}]
    if not any(name.lower() == "content-type" for name, _ in kept):
        kept.append(("Content-Type", "application/json"))  # API Gateway's default, which Chalice relies on
    return HttpResponse(answer["statusCode"], kept, content)


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def refuse(status: int, message: str) -> HttpResponse:
    """Return an error of the gateway itself, in the shape that the public API's errors have."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return HttpResponse(status, [("Content-Type", "application/json")], json.dumps(error).encode())
