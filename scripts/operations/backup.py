"""Write everything that the table holds to a file, and such a file into an empty table.

The file is JSON lines: a head, the items in DynamoDB's JSON, and a foot that counts them. It holds what users wrote, so
only you may read it. Each conversation in it is whole, as it was at one moment of the export; turns in progress are
taken along, and the sweep brings them to their end where they are restored. Queues are not in it, nor are credentials
and the model's payloads. For the whole table as it was at any second of the last 35 days, in the same account, use
DynamoDB's point-in-time recovery, which the stack has switched on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from parley.aws import items
from scripts.deployment.arguments import add_deployment, explain, say
from scripts.deployment.failures import DeploymentFailed
from scripts.operations.place import open_place

PROGRAM = "backup"
VERSION = 1
BATCH = 25
"""Most items of one BatchWriteItem."""
CLOCKS_APART = 300.0
"""Seconds by which the functions' clocks and this one may differ."""
TRIES = 8
TOLD_EVERY = 1_000

Item = Mapping[str, Any]


class BadBackup(DeploymentFailed):
    """The file is no whole backup, or the table is not what it should be; the text says what to do."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        if options.command == "export" and options.file.exists() and not options.overwrite:
            raise BadBackup(f"{options.file} is there already; choose another name, or give --overwrite")
        place = open_place(options)
        client, table = place.client("dynamodb"), place.table
        if options.command == "export":
            told = export(client, table, options.file)
        else:
            told = restore(client, table, options.file, options.overwrite)
        done = "written to" if options.command == "export" else "restored from"
        told |= {"table": table, "file": str(options.file)}
        text = f"{told['items']:,} items, {told['conversations']:,} conversations {done} {options.file}"
        print(json.dumps(told) if options.json else text)
    return outcome.status


def export(client: Any, table: str, file: Path) -> dict[str, Any]:
    """Write every item to the file, which is there whole or not at all; comes back with the counts."""
    began = time.time()
    count = conversations = 0
    with _written_whole(file) as out:
        _write(out, {"parley": "backup", "version": VERSION, "table": table, "began": began})
        for _, found in groupby(_scan(client, table), key=lambda item: str(item["pk"]["S"])):
            for item in _at_one_moment(client, table, list(found), began):
                _write(out, item)
                count += 1
                conversations += item["sk"]["S"] == items.STATE
                _tell(count, "items written")
        _write(out, {"parley": "end", "items": count, "conversations": conversations})
    return {"items": count, "conversations": conversations}


def restore(client: Any, table: str, file: Path, overwrite: bool) -> dict[str, Any]:
    """Write the file's items into the table; comes back with the counts.

    Raises BadBackup, before anything is written, for a file that is not whole and for a table that is not empty.
    """
    counts = check(file)
    if not overwrite and client.scan(TableName=table, Limit=1, Select="COUNT")["Count"]:
        raise BadBackup(
            f"the table {table} is not empty; restore into another stage, or give --overwrite: "
            "items of the same key are replaced, others stay"
        )
    batch: list[Item] = []
    written = 0
    for item in _items(file):
        batch.append(item)
        if len(batch) == BATCH:
            _put(client, table, batch)
            written += len(batch)
            _tell(written, f"of {counts['items']:,} items restored")
            batch = []
    _put(client, table, batch)
    return counts


def check(file: Path) -> dict[str, Any]:
    """The counts that a whole backup ends with. Raises BadBackup for any other file."""
    try:
        with file.open(encoding="utf-8") as lines:
            head = json.loads(lines.readline() or "null")
            if not isinstance(head, dict) or head.get("parley") != "backup":
                raise BadBackup(f"{file} is no backup of scripts/backup")
            if head.get("version") != VERSION:
                raise BadBackup(f"{file} is a backup of version {head.get('version')}; this release reads {VERSION}")
            count, foot = 0, "null"
            for line in lines:
                count, foot = count + 1, line
            end = json.loads(foot)
    except ValueError:  # no JSON, or no text at all
        raise BadBackup(f"{file} is damaged, or no backup of scripts/backup") from None
    if not isinstance(end, dict) or end.get("parley") != "end" or end["items"] != count - 1:
        raise BadBackup(f"{file} is not whole: it ends after {count} lines; export again")
    return {"items": end["items"], "conversations": end["conversations"]}


def _items(file: Path) -> Iterator[Item]:
    """The items of a whole backup, in its order."""
    with file.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            item = json.loads(line)
            if "pk" in item:
                yield item


def _scan(client: Any, table: str) -> Iterator[Item]:
    """Every item; those of one partition follow each other."""
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _at_one_moment(client: Any, table: str, found: list[Item], began: float) -> list[Item]:
    """A partition's items; of a conversation that may have changed while it was scanned, read until none did."""
    for _ in range(TRIES):
        if not _may_have_moved(found, began):
            return found
        pk = found[0]["pk"]
        before = _state(client, table, pk)
        found = [
            item
            for page in client.get_paginator("query").paginate(
                TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": pk},
                ConsistentRead=True,
            )
            for item in page["Items"]
        ]  # fmt: skip
        if not found or before == _state(client, table, pk):
            return found
    raise BadBackup(f"a conversation moved under {TRIES} reads of it; export again when there is less to do")


def _may_have_moved(found: list[Item], began: float) -> bool:
    """Whether one of a conversation's items has been written lately, or a turn of it is in progress."""
    if not str(found[0]["pk"]["S"]).startswith("CONV#"):
        return False
    lately = began - CLOCKS_APART
    times = [float(item[name]["N"]) for item in found for name in ("updated", "opened", "ended") if name in item]
    return any(time >= lately for time in times) or any("open" in item for item in found)


def _state(client: Any, table: str, pk: Mapping[str, str]) -> Item | None:
    """A conversation's STATE item, whose version grows with every transaction."""
    key = {"pk": pk, "sk": {"S": items.STATE}}
    item: Item | None = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return item


def _put(client: Any, table: str, batch: Sequence[Item]) -> None:
    """Write the items; what the table has no room for at the moment is tried again, more slowly each time."""
    requests = [{"PutRequest": {"Item": item}} for item in batch]
    for attempt in range(TRIES):
        if not requests:
            return
        answer = client.batch_write_item(RequestItems={table: requests})
        requests = answer.get("UnprocessedItems", {}).get(table, [])
        if requests:
            time.sleep(min(5.0, 0.1 * 2**attempt))
    if requests:
        raise BadBackup("the table takes no more writes for now; run it again with --overwrite to go on")


@contextmanager
def _written_whole(file: Path) -> Iterator[TextIO]:
    """A file that only its owner may read, under its name once everything is in it; nothing is left otherwise."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _write(out: TextIO, line: Mapping[str, Any]) -> None:
    out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def _tell(count: int, of_what: str) -> None:
    if count % TOLD_EVERY == 0:
        say(PROGRAM, f"{count:,} {of_what}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    there = commands.add_parser("export", help="write the table's items to a file")
    back = commands.add_parser("restore", help="write a file's items into an empty table")
    there.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    back.add_argument("--overwrite", action="store_true", help="also into a table that is not empty, or to go on")
    for command in (there, back):
        command.add_argument("file", type=Path, metavar="FILE")
        add_deployment(command)
        command.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
