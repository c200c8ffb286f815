"""Between Chalice's requests and plain ones: bodies, headers, errors. Every answer of the API leaves through here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chalice.app import Chalice, Request, Response

from parley.errors import RequestError
from parley.openai_api import failures
from parley.openai_api.fields import MAX_BODY_BYTES
from parley.ports import WebhookRequest

ANY_CONTENT = ["*/*"]
"""Every route takes every content type: a body is read as JSON whatever its label says. Chalice's own 415 would be
counted nowhere, and have another shape than our errors.
"""

Answer = tuple[int, Any, Mapping[str, str]]
"""Status, a body for JSON, headers."""

PROTECTION: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says to a browser unless it says so itself: run nothing, guess nothing, show it in no frame of
another site, keep no copy, tell nobody where one came from."""

HTTPS_ONLY = "max-age=31536000"
"""A year without plain http for this host alone: a domain's other hosts are not ours to decide for."""

SERVER_ERROR = failures.failure(500, "The server had an error. Please try again.", "server_error")


def current(app: Chalice) -> Request:
    """The request that is being served; views run in one, so there always is one."""
    request: Request = app.current_request  # type: ignore[assignment]
    return request


def protect(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Chalice's middleware around every route: its answer, Chalice's own refusals included, with protecting headers."""
    response = get_response(request)
    said = {name.lower() for name in response.headers}
    response.headers.update({name: value for name, value in PROTECTION.items() if name.lower() not in said})
    if is_https(request):
        response.headers["Strict-Transport-Security"] = HTTPS_ONLY
    return response


def is_https(request: Request) -> bool:
    """Whether the browser came over https, as whoever ended that says; API Gateway always does."""
    return (request.headers.get("x-forwarded-proto") or "").lower() == "https"


def body_of(request: Request) -> bytes:
    """The raw bytes of a request's body, at most one more than are taken anywhere."""
    raw = request.raw_body
    return (raw.encode() if isinstance(raw, str) else raw)[: MAX_BODY_BYTES + 1]


def query_of(request: Request) -> dict[str, str]:
    """The query, the last value of each name."""
    return dict((request.query_params or {}).items())


def webhook_request(request: Request) -> WebhookRequest:
    """A webhook as channels read it."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return WebhookRequest(request.method, headers, query_of(request), body_of(request))


def bearer(request: Request) -> str:
    """The API key in the Authorization header; empty when there is none."""
    scheme, _, key = (request.headers.get("authorization") or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def guard(
    telemetry: Any, request: Request, make: Callable[[], Response], otherwise: Callable[[], Response]
) -> Response:
    """The response that `make` gives, inside an invocation of receive; `otherwise` where it raises.

    Nothing escapes to Chalice, which would log the exception's text as it is: the invocation logs its type and place.
    """
    try:
        with telemetry.invocation("receive", request.lambda_context):
            return make()
    except Exception:
        return otherwise()


def respond(
    telemetry: Any, request: Request, make: Callable[[], Answer], show: Callable[[RequestError], Answer]
) -> Response:
    """The JSON response that `make` gives; a RequestError becomes what `show` gives, a bug a plain 500."""

    def shown() -> Response:
        try:
            return json_response(*make())
        except RequestError as error:
            telemetry.count("RequestsRejected")
            path = request.context.get("resourcePath")
            telemetry.note("request rejected", reason=type(error).__name__, path=path)
            return json_response(*show(error))

    return guard(telemetry, request, shown, failed)


def failed() -> Response:
    """The answer after a bug: it tells nothing of what happened."""
    return json_response(*SERVER_ERROR)


def json_response(status: int, body: Any, headers: Mapping[str, str]) -> Response:
    """A JSON response, in sound Unicode: an error may quote a request that is not."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace").decode()
    shown: dict[str, str | list[str]] = {"Content-Type": "application/json; charset=utf-8", **headers}
    return Response(body=text, status_code=status, headers=shown)
