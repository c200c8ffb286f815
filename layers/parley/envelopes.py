"""The JSON of each queue's records. Every record says its version, so that a new release reads an old one's queue.

Text that is no valid Unicode (a lone surrogate) cannot travel in a queue; it is replaced on the way in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from parley.domain.message import Cancel, Incoming, Said
from parley.errors import UnreadableRecord

if TYPE_CHECKING:
    from parley.domain.turn import Outgoing

VERSION = 1

T = TypeVar("T")


def write_inbox(record: Incoming | Cancel) -> str:
    """The inbox record of a message, or of a wish to stop."""
    return _write("message" if isinstance(record, Incoming) else "cancel", record)


def read_inbox(body: str) -> Incoming | Cancel:
    """What `write_inbox` wrote. Raises UnreadableRecord."""
    kind, fields = _read(body)
    if kind == "cancel":
        return _build(lambda: Cancel(**fields))
    if kind != "message":
        raise UnreadableRecord(f"an inbox record of kind {kind!r}: known are 'message' and 'cancel'")
    preface = fields.pop("preface", ())
    return _build(lambda: Incoming(**fields, preface=tuple(Said(**entry) for entry in preface)))


def write_outbox(outgoing: Outgoing) -> str:
    """The outbox record of what a turn sends out."""
    return _write("outgoing", outgoing)


def read_outbox(body: str) -> Outgoing:
    """What `write_outbox` wrote. Raises UnreadableRecord."""
    from parley.domain.turn import Outgoing  # receive writes inbox records only, and does without turns at its start

    kind, fields = _read(body)
    if kind != "outgoing":
        raise UnreadableRecord(f"an outbox record of kind {kind!r}: known is 'outgoing'")
    return _build(lambda: Outgoing(**fields))


def _write(kind: str, value: Incoming | Cancel | Outgoing) -> str:
    text = json.dumps({"v": VERSION, "kind": kind, **asdict(value)}, ensure_ascii=False, separators=(",", ":"))
    # The last two characters of the plane are sound Unicode, but SQS takes them escaped only.
    return text.encode(errors="replace").decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _read(body: str) -> tuple[Any, dict[str, Any]]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableRecord(f"a queue record that is no JSON: {error}") from None
    if not isinstance(fields, dict) or fields.pop("v", None) != VERSION:
        raise UnreadableRecord(f"a queue record of another version than {VERSION}")
    return fields.pop("kind", None), fields


def _build(make: Callable[[], T]) -> T:
    try:
        return make()
    except TypeError as error:
        raise UnreadableRecord(f"a queue record with other fields than expected: {error}") from None
