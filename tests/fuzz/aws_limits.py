"""What DynamoDB refuses and no stand-in minds: numbers, names, keys and sizes beyond its documented limits.

An acknowledged message that the table then refuses is a message lost, so the table of these tests refuses it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley.aws import items
from parley.domain.conversation import Change
from scripts.local.stand_in.table import MemoryTable

ITEM_BYTES = 409_600
SMALLEST, LARGEST = 1e-130, 9.99e125
KEY_BYTES = {"pk": 2048, "sk": 1024}


class StrictTable(MemoryTable):
    """The table in memory, for values that DynamoDB takes."""

    def commit(self, change: Change) -> None:
        """As MemoryTable's. Raises ValueError for what DynamoDB would answer with a ValidationException."""
        id = change.after.id
        written = [items.from_conversation(change.after)]
        written += [items.from_message(id, message) for message in change.messages]
        written += [items.from_mark(id, mark) for mark in (change.new_mark, change.mark) if mark is not None]
        if change.opened is not None:
            written.append(items.from_turn(change.opened))
        if change.updated is not None:
            written.append(items.put(id, items.turn_key(change.updated.number), change.updated.fields()))
        for item in written:
            check(item)
        super().commit(change)


def check(item: Mapping[str, Any]) -> None:
    """Raises ValueError when DynamoDB would not take the item."""
    for name, most in KEY_BYTES.items():
        if not 0 < len(item[name]["S"].encode()) <= most:
            raise ValueError(f"a {name} of {len(item[name]['S'])} characters")
    size = _size({"M": item})
    if size > ITEM_BYTES:
        raise ValueError(f"an item of {size:,} bytes")


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number(content)
        case "M":
            if not all(content):
                raise ValueError("an attribute without a name")
            return 3 + sum(1 + len(name.encode()) + _size(member) for name, member in content.items())
        case "L":
            return 3 + sum(1 + _size(member) for member in content)
    return 1


def _number(text: str) -> int:
    size = abs(float(text))  # infinite for a whole number beyond all floats
    if size and not SMALLEST <= size <= LARGEST:
        raise ValueError(f"the number {text[:40]}")
    if len(text.partition("e")[0].strip("-").replace(".", "").strip("0")) > 38:
        raise ValueError(f"a number of {len(text)} digits")
    return 21
