"""Where a registry lies: a folder or a prefix in S3. Both write a key only if it is as it was read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from training.errors import StepFailed
from training.folders import write_file

REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
"""S3's answers to a conditional write that came too late."""


class Place(Protocol):
    """Files under keys with slashes. A tag stands for a file's content."""

    address: str

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Content and tag; None where there is nothing."""

    def write(self, key: str, content: bytes, tag: str | None) -> bool:
        """Write it if it still has the tag (None: if there is nothing); False when that is not so."""

    def send(self, key: str, file: Path) -> None:
        """Write a file, whatever was there."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix that ends with a slash, sorted."""

    def where(self, key: str) -> str:
        """The key's own path or address, for people and commands."""


class Folder:
    """A registry in a folder of this machine. Writes with a condition exclude each other by a lock."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = str(root)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """One read; the tag is the content's hash."""
        try:
            content = (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content, hashlib.sha256(content).hexdigest()

    def write(self, key: str, content: bytes, tag: str | None) -> bool:
        """Compared and written under a lock. Raises StepFailed when another process holds it for long."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with _waited_lock(self._root / ".lock"):
            now = self.read(key)
            if (now[1] if now else None) != tag:
                return False
            write_file(path, content)
        return True

    def send(self, key: str, file: Path) -> None:
        """Copied beside its place, then renamed."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        try:
            shutil.copyfile(file, beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        """Walks the folder; files that begin with a dot are the registry's own."""
        found = (path for path in (self._root / prefix).rglob("*") if path.is_file() and not path.name.startswith("."))
        return iter(sorted(path.relative_to(self._root).as_posix() for path in found))

    def where(self, key: str) -> str:
        """The absolute path."""
        return str((self._root / key).absolute())


@contextlib.contextmanager
def _waited_lock(folder: Path) -> Iterator[None]:
    """Others hold it for the time of one small write."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Bucket:
    """A registry in S3, by its conditional writes (If-None-Match, If-Match). `client` is boto3's."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.address = f"s3://{bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> tuple[bytes, str] | None:
        """One GET; the tag is the entity tag."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        except self._client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read(), answer["ETag"]

    def write(self, key: str, content: bytes, tag: str | None) -> bool:
        """One conditional PUT."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content, **condition)
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in REFUSED:
                raise
            return False
        return True

    def send(self, key: str, file: Path) -> None:
        """An upload in parts where the file is large."""
        self._client.upload_file(str(file), self._bucket, self._prefix + key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Listed page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        for page in pages:
            yield from (entry["Key"].removeprefix(self._prefix) for entry in page.get("Contents", ()))

    def where(self, key: str) -> str:
        """The s3:// address."""
        return f"s3://{self._bucket}/{self._prefix}{key}"


def open_registry(address: str, client: Callable[[], Any]) -> Place:
    """The registry at a folder or an s3:// address; `client` makes boto3's for S3. Raises StepFailed."""
    if not address.startswith("s3://"):
        return Folder(Path(address).expanduser())
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if not bucket:
        raise StepFailed(f"{address!r} names no bucket; a registry in S3 is s3://BUCKET/PREFIX")
    return Bucket(client(), bucket, prefix)
