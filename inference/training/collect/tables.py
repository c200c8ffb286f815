"""Reads CSV and TSV: a row is a question with its answer, a text, or one message of a conversation."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from training.collect.chats import Columns, guess_columns, pair
from training.collect.entries import RAW_CHARACTERS, Entry
from training.errors import StepFailed
from training.records import Malformed, check_messages

CELL_CHARACTERS = 10_000_000
MESSAGE_COLUMNS = ("conversation", "role", "content")

Row = tuple[int, dict[str, str], Malformed | None, str]


def read_table(path: Path, columns: Columns, shown: str) -> Iterator[Entry]:
    """One entry a row, or one for the rows of a conversation that stand together.

    Raises StepFailed when a column is missing; the text names those that there are. `shown` is how the file is called.
    """
    csv.field_size_limit(CELL_CHARACTERS)
    with path.open("rb") as opened:
        encoding = "utf-16" if opened.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # what is no UTF-8 becomes half a surrogate pair, with which no record can be written: that row is set aside
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as text:
        first = text.readline()
        text.seek(0)
        reader = csv.reader(text, delimiter="\t" if "\t" in first and "," not in first else ",", strict=True)
        try:
            head = [name.strip() for name in next(reader)]
        except StopIteration:
            raise StepFailed(f"{shown} is empty; a table begins with the names of its columns") from None
        except (csv.Error, UnicodeError) as error:
            raise StepFailed(f"{shown} has no readable first line ({error}); save it as CSV in UTF-8") from None
        rows = _rows(reader, head)
        if set(MESSAGE_COLUMNS) <= set(head) and not columns:
            yield from _conversations(rows)
            return
        yield from _pairs(rows, _columns(head, columns, shown))


def _columns(head: list[str], columns: Columns, shown: str) -> Columns:
    try:
        wanted = columns or guess_columns(head)
    except Malformed as error:
        raise StepFailed(f"{shown} has no column that can be read: {error.detail}") from None
    if missing := [name for name in wanted.values() if name not in head]:
        raise StepFailed(f"{shown} has no column {missing[0]!r}; it has {', '.join(map(repr, head))[:300]}")
    return wanted


def _rows(reader: Any, head: list[str]) -> Iterator[Row]:
    """(position, cells by name, what is wrong with the row, the row as it was)."""
    position = -1
    while True:
        position += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeError) as error:
            yield position, {}, Malformed("not_csv", str(error)), ""
            if isinstance(error, UnicodeError):
                return  # a cut UTF-16 file: nothing can be read behind it
            continue
        if not cells:
            continue
        raw = ",".join(cells)[:RAW_CHARACTERS]
        wrong = None
        if len(cells) != len(head):
            wrong = Malformed("wrong_width", f"{len(cells)} cells under {len(head)} columns")
        yield position, dict(zip(head, cells, strict=False)), wrong, raw


def _pairs(rows: Iterator[Row], columns: Columns) -> Iterator[Entry]:
    for position, row, wrong, raw in rows:
        try:
            if wrong:
                raise wrong
            yield Entry(position, "csv", pair(row, columns))
        except Malformed as error:
            yield Entry(position, "csv", None, error, raw)


def _conversations(rows: Iterator[Row]) -> Iterator[Entry]:
    for name, group in groupby(rows, key=lambda row: row[1].get("conversation", "")):
        members = list(group)
        position, raw = members[0][0], "\n".join(member[3] for member in members)[:RAW_CHARACTERS]
        try:
            for wrong in (member[2] for member in members):
                if wrong:
                    raise wrong
            messages: list[Mapping[str, Any]] = [
                {"role": member[1]["role"].strip().lower(), "content": member[1]["content"]} for member in members
            ]
            yield Entry(position, "csv", {"messages": check_messages(messages), "conversation": name})
        except Malformed as error:
            yield Entry(position, "csv", None, error, raw)
