"""GET /openapi.json: the public interface, described for machines. Tells nothing that the README does not.

The document is the file beside this one, read when it is first asked for: a function that serves messages never loads
it. `tests/http/test_openapi.py` holds it to the routes and to what the parsers take.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from chalice.app import Request, Response

from chalicelib import edge
from chalicelib.wiring import wiring

DOCUMENT = Path(__file__).with_name("openapi.json")
HOUR = 3600


def show(request: Request) -> Response:
    """GET /openapi.json: needs no key, and may be kept for an hour."""
    return edge.guard(wiring().telemetry, request, lambda: _document(request), edge.failed)


def _document(request: Request) -> Response:
    text, tag = _read()
    headers: dict[str, str | list[str]] = {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": f"public, max-age={HOUR}",
        "ETag": tag,
    }
    if request.headers.get("if-none-match") == tag:
        return Response(body="", status_code=304, headers=headers)
    return Response(body=text, status_code=200, headers=headers)


@cache
def _read() -> tuple[str, str]:
    """The document and its tag."""
    text = DOCUMENT.read_text()
    return text, f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
