"""What a reader finds in a source: one entry after the other, good or malformed, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.records import Malformed

RAW_CHARACTERS = 2_000
"""How much of a malformed entry is kept, to see what it was."""

ENCODING_ADVICE = "convert it to UTF-8, with iconv for instance"


@dataclass(frozen=True)
class Entry:
    """One entry at `position` (from 0) of a source, read as `kind`.

    `fields` are those of a record that the entry itself tells: `messages` or `text`, `tools`, `feedback`, ... Where it
    is malformed they are None, and `error` says why; `raw` is how it stood in the source.
    """

    position: int
    kind: str
    fields: Mapping[str, Any] | None
    error: Malformed | None = None
    raw: str = ""


class Source(Protocol):
    """Something to collect from. `fingerprint` changes when the content does: what was read before is read anew."""

    @property
    def uri(self) -> str:
        """Where it is."""

    @property
    def fingerprint(self) -> str:
        """Size and time, a hash, a version: any text that changes with the content."""

    @property
    def kind(self) -> str:
        """What it is read as."""

    def entries(self, scratch: Path) -> Iterator[Entry]:
        """Every entry in order. `scratch` is a folder for what must be fetched first."""


def decode(content: bytes) -> str:
    """Text of UTF-8, or of UTF-16 where it begins with a byte order mark. Raises Malformed."""
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("not_utf8", f"byte {error.start} is no UTF-8; {ENCODING_ADVICE}") from None
