"""Visitors of the web page: an id in a signed cookie. No account, no store; whoever has the cookie is the visitor."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie

COOKIE = "parley_visitor"
YEAR = 365 * 24 * 3600
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def read(key: bytes, header: str) -> str | None:
    """The visitor's id in a Cookie header; None when there is none that we signed."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    visitor, _, mac = (morsel.value if morsel is not None else "").partition(".")
    if not _ID.fullmatch(visitor) or not mac.isascii():
        return None
    return visitor if hmac.compare_digest(mac, _mac(key, visitor)) else None


def new_cookie(key: bytes, secure: bool) -> str:
    """A Set-Cookie header for a new visitor. No script can read it, and no other site's request carries it."""
    visitor = secrets.token_urlsafe(16)
    flags = "; Secure" if secure else ""
    return f"{COOKIE}={visitor}.{_mac(key, visitor)}; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=Strict{flags}"


def _mac(key: bytes, visitor: str) -> str:
    return hmac.new(key, b"visitor\x00" + visitor.encode(), hashlib.sha256).hexdigest()[:32]
