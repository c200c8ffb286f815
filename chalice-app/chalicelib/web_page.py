"""The web page's files, under a policy that lets no foreign and no inline script run."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from chalice.app import Request, Response

from chalicelib import edge, visitors
from chalicelib.wiring import wiring

FOLDER = Path(__file__).parent / "web"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
}
HEADERS: dict[str, str | list[str]] = {
    # Trusted types: where a script could turn text into markup or code, the browser takes nothing from it at all.
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
}


def page(request: Request) -> Response:
    """GET /: the page; a visitor without a cookie gets one."""
    return edge.guard(wiring().telemetry, request, lambda: _page(request), _failed)


def _page(request: Request) -> Response:
    headers = HEADERS | {"Content-Type": KINDS[".html"]}
    key = wiring().signing_key
    if visitors.read(key, request.headers.get("cookie") or "") is None:
        headers["Set-Cookie"] = visitors.new_cookie(key, edge.is_https(request))
    content, _ = _files()["index.html"]
    return Response(body=content, status_code=200, headers=headers)


def file(request: Request, name: str) -> Response:
    """GET /web/{file}: one of the page's files, by its exact name; revalidated each time, sent when it changed."""
    if name not in _files():
        return Response(body="not found", status_code=404, headers=HEADERS | {"Content-Type": "text/plain"})
    content, tag = _files()[name]
    headers = HEADERS | {"Content-Type": KINDS[Path(name).suffix], "Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(body="", status_code=304, headers=headers)
    return Response(body=content, status_code=200, headers=headers)


def _failed() -> Response:
    headers = HEADERS | {"Content-Type": "text/plain"}
    return Response(body="The page cannot be shown just now. Please try again.", status_code=500, headers=headers)


@cache
def _files() -> dict[str, tuple[str, str]]:
    """Content and tag of each file, by name."""
    found = {path.name: path.read_text() for path in FOLDER.iterdir() if path.suffix in KINDS}
    return {name: (text, f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"') for name, text in found.items()}
