"""Response ids that carry where their conversation is, signed for their caller: nothing has to be stored to know one.

An id that was made for another caller, or by nobody, does not verify; both look the same to whoever asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "resp_"
_MAC_BYTES = 12


def sign(key: bytes, caller: str, thread: str, event: str) -> str:
    """The response id of an event in a caller's thread; neither may contain a dot."""
    named = f"{thread}.{event}".encode()
    return PREFIX + base64.urlsafe_b64encode(_mac(key, caller, named) + named).decode().rstrip("=")


def verify(key: bytes, caller: str, id: str) -> tuple[str, str] | None:
    """The (thread, event) of an id that was made for this caller; None for any other."""
    if not id.startswith(PREFIX) or not id.isascii():
        return None
    encoded = id.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        mac, named = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        thread, event = named.decode().split(".")
    except (binascii.Error, ValueError):
        return None
    return (thread, event) if hmac.compare_digest(mac, _mac(key, caller, named)) else None


def _mac(key: bytes, caller: str, named: bytes) -> bytes:
    return hmac.new(key, b"response\x00" + caller.encode() + b"\x00" + named, hashlib.sha256).digest()[:_MAC_BYTES]
