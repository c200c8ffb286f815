"""Files and objects in S3 as sources: finds them, says what each is read as, and reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.collect.chats import read_array, read_lines
from training.collect.documents import read_document
from training.collect.entries import Entry
from training.collect.tables import read_table
from training.errors import StepFailed
from training.folders import MANIFEST

KINDS = {
    ".txt": "text", ".text": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html",
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
}  # fmt: skip


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine."""

    path: Path
    kind: str
    columns: Mapping[str, str]

    @property
    def uri(self) -> str:
        """`file:` and the path as it was given."""
        return f"file:{self.path.as_posix()}"

    @property
    def fingerprint(self) -> str:
        """Size and time of the last change."""
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    def entries(self, scratch: Path) -> Iterator[Entry]:
        """What is in the file."""
        return read(self.path, self.kind, self.columns, str(self.path))


@dataclass(frozen=True)
class Object:
    """An object in S3, as it was when it was listed. `client` is boto3's."""

    client: Any
    bucket: str
    key: str
    tag: str
    kind: str
    columns: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Its s3:// address."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def fingerprint(self) -> str:
        """The entity tag."""
        return self.tag

    def entries(self, scratch: Path) -> Iterator[Entry]:
        """What is in the object, which is fetched into `scratch` first."""
        copy = scratch / "object"
        self.client.download_file(self.bucket, self.key, str(copy))
        try:
            yield from read(copy, self.kind, self.columns, self.uri)
        finally:
            copy.unlink(missing_ok=True)


def read(path: Path, kind: str, columns: Mapping[str, str], shown: str) -> Iterator[Entry]:
    """The entries of a file read as `kind`."""
    match kind:
        case "csv":
            return read_table(path, columns, shown)
        case "jsonl":
            return read_lines(path, columns)
        case "json":
            return read_array(path, columns)
    return read_document(path, kind)


def find(
    places: Sequence[str], kind: str | None, columns: Mapping[str, str], client: Callable[[], Any]
) -> tuple[list[LocalFile | Object], int]:
    """What is at the places (files, folders, s3:// prefixes), in a fixed order; and how many were of no known kind.

    `kind` reads everything as that. Raises StepFailed for a place that is not there or holds nothing.
    """
    found: list[LocalFile | Object] = []
    unknown = 0
    for place in places:
        before = len(found)
        if place.startswith("s3://"):
            skipped = _add_objects(place, kind, columns, client(), found)
        else:
            skipped = _add_files(Path(place).expanduser(), kind, columns, found)
        unknown += skipped
        if len(found) == before:
            raise StepFailed(
                f"nothing to read in {place}{f' ({skipped} files of other kinds)' if skipped else ''}; "
                f"known are {' '.join(KINDS)}, or say --format"
            )
    unique = {source.uri: source for source in found}
    return list(unique.values()), unknown


def _add_files(place: Path, kind: str | None, columns: Mapping[str, str], found: list[Any]) -> int:
    if not place.exists():
        raise StepFailed(f"there is no {place}; name files, folders or s3:// prefixes")
    if place.is_file():
        read_as = kind or KINDS.get(place.suffix.lower())
        if read_as is None:
            raise StepFailed(f"{place}: what is a {place.suffix or 'file without a suffix'}? Say it with --format")
        found.append(LocalFile(place, read_as, columns))
        return 0
    skipped = 0
    for folder, folders, names in os.walk(place):
        # what a step made is no source: the next run would collect what this one has written
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not Path(folder, n, MANIFEST).is_file())
        for name in sorted(names):
            read_as = kind or KINDS.get(Path(name).suffix.lower())
            if read_as and not name.startswith("."):
                found.append(LocalFile(Path(folder, name), read_as, columns))
            else:
                skipped += 1
    return skipped


def _add_objects(place: str, kind: str | None, columns: Mapping[str, str], client: Any, found: list[Any]) -> int:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    skipped = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            key: str = entry["Key"]
            read_as = kind or KINDS.get(Path(key).suffix.lower())
            if read_as and not key.endswith("/"):
                found.append(Object(client, bucket, key, entry["ETag"], read_as, columns))
            else:
                skipped += not key.endswith("/")
    return skipped
