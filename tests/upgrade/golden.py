"""The files that a release has written, and the shape of what is in them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from parley import envelopes
from parley.domain.conversation import Conversation, EventMark
from parley.domain.message import Cancel, Incoming, Message
from parley.domain.turn import FailedTurn, Outgoing, Turn

FOLDER = Path(__file__).with_name("golden")
STORED = (Conversation, Message, Turn, EventMark, Incoming, Cancel, Outgoing, FailedTurn)
"""Whatever is written into the table or a queue."""


def this_release() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((FOLDER.parents[2] / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def releases() -> list[str]:
    """All that have goldens."""
    return sorted(entry.name for entry in FOLDER.iterdir() if entry.is_dir())


def read(release: str) -> dict[str, Any]:
    """What the release has written, as Deployment.dump gives it, and `fields`."""
    folder = FOLDER / release
    held = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("queues", "bucket", "about")}
    table = [json.loads(line) for line in (folder / "table.jsonl").read_text().splitlines()]
    return {"table": table, "queues": held["queues"], "bucket": held["bucket"], **held["about"]}


def write(release: str, dump: Mapping[str, Any]) -> Path:
    """Write the release's files; comes back with their folder."""
    folder = FOLDER / release
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(item, ensure_ascii=False, sort_keys=True) for item in dump["table"]]
    (folder / "table.jsonl").write_text("\n".join(lines) + "\n")
    about = {"now": dump["now"], "fields": stored_fields()}
    for name, value in (("queues", dump["queues"]), ("bucket", dump["bucket"]), ("about", about)):
        (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    return folder


def stored_fields() -> dict[str, Any]:
    """The fields of all that is stored, by its kind, and the version of queue records."""
    kinds = {kind.__name__: sorted(field.name for field in fields(kind)) for kind in STORED}
    return {"queue records": envelopes.VERSION, **kinds}


def shape(dump: Mapping[str, Any]) -> set[str]:
    """Every field of every kind of item, record and object, with its type: what a reader has to reckon with."""
    found: set[str] = set()
    for item in dump["table"]:
        kind = f"{item['pk']['S'].partition('#')[0]} {item['sk']['S'].partition('#')[0]}"
        found |= {f"{kind}{path}" for path in _paths(item)}
    for queue, bodies in dump["queues"].items():
        for body in bodies:
            record = json.loads(body)
            kind = "notification" if queue in ("replies", "later") else f"{queue} {record['kind']}"
            found |= {f"{kind}{path}" for path in _paths(record)}
    for text in dump["bucket"].values():
        found |= {f"result{path}" for path in _paths(json.loads(text))}
    return found


def _paths(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, member in value.items():
                yield from (f".{name}{path}" for path in _paths(member))
        case list():
            for member in value:
                yield from (f"[]{path}" for path in _paths(member))
        case _:
            yield f": {type(value).__name__}"
