"""The JSON of each queue's records. Every record says its version, so that a new release reads an old one's queue.

While a stack is updated, old and new functions run side by side. So within a version fields may be added, with a
default, and whoever does not know a field leaves it out; what an old function would misunderstand needs a new version.

Text that is no valid Unicode (a lone surrogate) cannot travel in a queue; it is replaced on the way in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from parley.domain.message import Cancel, Incoming, Said
from parley.errors import UnreadableRecord

if TYPE_CHECKING:
    from parley.domain.turn import FailedTurn, Outgoing

VERSION = 1
MOST = 10**10
"""Numbers stay below: sort keys have ten digits, and so have epoch seconds."""

T = TypeVar("T")


def write_inbox(record: Incoming | Cancel) -> str:
    """The inbox record of a message, or of a wish to stop."""
    return _write("message" if isinstance(record, Incoming) else "cancel", record)


def read_inbox(body: str) -> Incoming | Cancel:
    """What `write_inbox` wrote. Raises UnreadableRecord."""
    kind, given = _read(body)
    if kind == "cancel":
        return _build(Cancel, given)
    if kind != "message":
        raise UnreadableRecord("an inbox record of another kind: known are 'message' and 'cancel'")
    preface = given.pop("preface", ())
    if not isinstance(preface, list | tuple) or not all(isinstance(entry, dict) for entry in preface):
        raise UnreadableRecord("a queue record whose preface is no list of objects")
    return _build(Incoming, {**given, "preface": tuple(_make(Said, entry) for entry in preface)})


def write_failed(failed: FailedTurn) -> str:
    """The dead letter of a turn that failed for good."""
    return _write("failed", failed)


def read_failed(body: str) -> FailedTurn | None:
    """What `write_failed` wrote; None for a record of another kind. Raises UnreadableRecord."""
    from parley.domain.turn import FailedTurn

    kind, given = _read(body)
    return _build(FailedTurn, given) if kind == "failed" else None


def write_outbox(outgoing: Outgoing) -> str:
    """The outbox record of what a turn sends out."""
    return _write("outgoing", outgoing)


def read_outbox(body: str) -> Outgoing:
    """What `write_outbox` wrote. Raises UnreadableRecord."""
    from parley.domain.turn import Outgoing  # receive writes inbox records only, and does without turns at its start

    kind, given = _read(body)
    if kind != "outgoing":
        raise UnreadableRecord("an outbox record of another kind: known is 'outgoing'")
    return _build(Outgoing, given)


def _write(kind: str, value: Incoming | Cancel | FailedTurn | Outgoing) -> str:
    text = json.dumps({"v": VERSION, "kind": kind, **asdict(value)}, ensure_ascii=False, separators=(",", ":"))
    # The last two characters of the plane are sound Unicode, but SQS takes them escaped only.
    return text.encode(errors="replace").decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _read(body: str) -> tuple[Any, dict[str, Any]]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableRecord(f"a queue record that is no JSON: {error}") from None
    if not isinstance(given, dict) or given.pop("v", None) != VERSION:
        raise UnreadableRecord(f"a queue record of another version than {VERSION}")
    return given.pop("kind", None), given


def _build(kind: type[T], given: dict[str, Any]) -> T:
    """The record, each field of the kind that its class says: another, once stored, would spoil every later prompt."""
    record = _make(kind, given)
    for field in fields(record):  # type: ignore[arg-type]
        if not _IS[str(field.type)](getattr(record, field.name)):
            raise UnreadableRecord(f"a queue record whose {field.name} is no {field.type}")
    return record


def _make(kind: type[T], given: dict[str, Any]) -> T:
    """A value from the fields that it knows: a record of a newer release may hold more. Raises UnreadableRecord."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in given.items() if name in known})
    except TypeError as error:
        raise UnreadableRecord(f"a queue record that lacks a field: {error}") from None


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:  # half a surrogate pair, which neither table nor queue takes
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value.keys(), *value.values())))


_IS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "str | None": lambda value: value is None or _is_text(value),
    "float": _is_number,
    "int": _is_count,
    "int | None": lambda value: value is None or _is_count(value),
    "Mapping[str, str]": _is_texts,
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "tuple[Said, ...]": lambda value: all(_is_text(said.role) and _is_text(said.text) for said in value),
}
"""For each type that a record's class names, whether a value from JSON is one."""
