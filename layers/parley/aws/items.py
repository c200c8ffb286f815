"""DynamoDB's JSON to and from plain values and the domain's own. Knows the layout of the table, makes no call.

boto3's own TypeSerializer is not used: it takes no floats, and gives Decimals back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from parley.domain.conversation import Conversation, EventMark, Status
from parley.domain.message import Message, Said
from parley.domain.turn import Turn, TurnStatus

STATE = "STATE"
MARK_SECONDS = 30 * 24 * 3600
"""How long an event stays known, and so how long the API can show a response: longer than any platform retries."""

NOTED_SECONDS = 15 * 24 * 3600
"""How long it is noted where a deleted conversation was: longer than a dead letter (14 days) or a result is kept."""

T = TypeVar("T")


def partition(conversation: str) -> str:
    """The partition key of a conversation."""
    return f"CONV#{conversation}"


def message_key(sequence: int) -> str:
    """The sort key of a message; ten digits, so that text order is number order."""
    return f"MSG#{sequence:010d}"


def turn_key(number: int) -> str:
    """The sort key of a turn."""
    return f"TURN#{number:010d}"


def mark_key(event: str) -> str:
    """The sort key of an event's mark.

    It sorts before MSG#, so that one backward query from STATE meets the state and the newest messages, nothing else.
    """
    return f"EVENT#{event}"


def key(conversation: str, sort: str) -> dict[str, Any]:
    """The primary key of one of a conversation's items."""
    return {"pk": {"S": partition(conversation)}, "sk": {"S": sort}}


def user_partition(user: str) -> str:
    """The partition key of what is kept of a user."""
    return f"USER#{user}"


def encode(value: Any) -> dict[str, Any]:
    """A plain value (None, bool, number, text, list, mapping) in DynamoDB's JSON. Raises TypeError for any other."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case str():
            return {"S": str(value)}
        case Mapping():
            return {"M": {name: encode(member) for name, member in value.items()}}
        case list() | tuple():
            return {"L": [encode(member) for member in value]}
    raise TypeError(f"a {type(value).__name__} cannot be stored")


def decode(value: Mapping[str, Any]) -> Any:
    """What `encode` took. Raises TypeError for a kind that Parley does not store."""
    (kind, content), *_ = value.items()
    match kind:
        case "NULL":
            return None
        case "BOOL" | "S":
            return content
        case "N":
            return json.loads(content)
        case "M":
            return {name: decode(member) for name, member in content.items()}
        case "L":
            return [decode(member) for member in content]
    raise TypeError(f"DynamoDB's type {kind!r} is not used in this table")


def put(conversation: str, sort: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An item in DynamoDB's JSON; attributes that are None are left out."""
    present = {name: encode(value) for name, value in attributes.items() if value is not None}
    return {**key(conversation, sort), **present}


def attributes(value: Conversation | Message | Turn | EventMark, *without: str) -> dict[str, Any]:
    """A domain value's fields, by name."""
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name not in without}


def from_conversation(conversation: Conversation) -> dict[str, Any]:
    """The STATE item."""
    return put(conversation.id, STATE, attributes(conversation, "id"))


def from_message(conversation: str, message: Message) -> dict[str, Any]:
    """The MSG item."""
    preface = [[entry.role, entry.text] for entry in message.preface]
    return put(conversation, message_key(message.sequence), {**attributes(message), "preface": preface or None})


def from_turn(turn: Turn) -> dict[str, Any]:
    """The TURN item; `open` puts it on the sweep's index while something is owed."""
    owed = None if turn.deadline is None else "1"
    return put(turn.conversation, turn_key(turn.number), {**attributes(turn, "conversation"), "open": owed})


def from_mark(conversation: str, mark: EventMark) -> dict[str, Any]:
    """The EVENT item, which DynamoDB removes some time after it expires."""
    expires = int(mark.created) + MARK_SECONDS
    return put(conversation, mark_key(mark.event), {**attributes(mark), "expires": expires})


def from_participation(user: str, conversation: str, deleted: float | None = None) -> dict[str, Any]:
    """The item that says that a user wrote in a conversation which the index does not show as theirs.

    Somebody else began it or, at `deleted` (epoch seconds), it was: then this is removed as well, some time later.
    """
    place = {"pk": {"S": user_partition(user)}, "sk": {"S": partition(conversation)}}
    if deleted is None:
        return place
    return place | {"deleted": encode(deleted), "expires": encode(int(deleted) + NOTED_SECONDS)}


def emptied(mark: Mapping[str, Any]) -> dict[str, Any]:
    """An EVENT item whose message was deleted: it knows the event, and holds nothing that a caller wrote."""
    return {**mark, "deleted": encode(True), "options": encode({}), "details": encode({})}


def to_conversation(item: Mapping[str, Any]) -> Conversation:
    """The conversation of a STATE item, or of its projection in an index."""
    plain = _plain(item)
    plain = {"bot": "", "created": plain.get("updated", 0), "status": Status.IDLE, **plain}
    return _build(Conversation, {**plain, "id": _conversation(item), "status": Status(plain["status"])})


def to_message(item: Mapping[str, Any]) -> Message:
    """The message of a MSG item."""
    plain = _plain(item)
    return _build(Message, {**plain, "preface": tuple(Said(*entry) for entry in plain.get("preface", ()))})


def to_turn(item: Mapping[str, Any]) -> Turn:
    """The turn of a TURN item."""
    plain = {"deadline": None, **_plain(item)}
    return _build(Turn, {**plain, "conversation": _conversation(item), "status": TurnStatus(plain["status"])})


def to_mark(item: Mapping[str, Any]) -> EventMark:
    """The mark of an EVENT item."""
    return _build(EventMark, _plain(item))


def _conversation(item: Mapping[str, Any]) -> str:
    return str(item["pk"]["S"]).removeprefix("CONV#")


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decode(value) for name, value in item.items()}


def _build(kind: type[T], plain: Mapping[str, Any]) -> T:
    """A value from the fields that it knows: an item of a newer release may hold more."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in plain.items() if name in known})
