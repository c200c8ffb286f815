"""Folders that steps hand on: finished as a whole or not there, with a manifest that says what they were made of."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.errors import StepFailed

MANIFEST = "manifest.json"
FORMAT = 1


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """`.NAME.partial/` beside `out`, to work in; when the block ends without an error it is put in the place of `out`.

    What an earlier run left in it is still there. Raises StepFailed when another run works in it, or when `out` is
    something that no step has made.
    """
    out = Path(os.path.abspath(out))
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StepFailed(f"{out} is there and was made by no step; name another folder, or move it away")
    partial = out.with_name(f".{out.name}.partial")
    with locked(partial, f"another run is writing {out}; wait for it, or name another folder"):
        yield partial
        replace_folder(partial, out)


@contextlib.contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Hold `folder`, which is made if need be, by a lock that dies with its process.

    Raises StepFailed with `refusal` when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # whoever held it may have renamed it away between the two calls
        if not (folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())):
            raise BlockingIOError
        yield
    except BlockingIOError:
        raise StepFailed(refusal) from None
    finally:
        os.close(descriptor)


def replace_folder(made: Path, out: Path) -> None:
    """A folder cannot be renamed over one that has files: the old one steps aside for a moment, and comes back if
    that fails."""
    aside = out.with_name(f".{out.name}.old")
    if not out.exists() and aside.exists():
        os.rename(aside, out)  # a run died between the two renames
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        os.rename(out, aside)
    try:
        os.rename(made, out)
    except OSError:
        if aside.exists():
            os.rename(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """The file with this content, or as it was before: written beside it, forced to the disk, renamed."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The mapping as JSON for people, written as `write_file` does."""
    write_file(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def write_manifest(folder: Path, kind: str, made_from: list[Path], **entries: Any) -> None:
    """The last file of a finished folder. `made_from` are the folders it came from, whose manifests are hashed."""
    sources = [{"path": str(path), "sha256": sha256(path / MANIFEST)} for path in made_from]
    head = {"format": FORMAT, "kind": kind, "git_revision": git_revision(), "from": sources}
    write_json(folder / MANIFEST, {**head, **entries})


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a finished folder. Raises StepFailed when it is none, or of another kind."""
    made_by = {"collected": "scripts/collect", "prepared": "scripts/prepare"}.get(kind, "its step")
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        found = manifest["kind"], manifest["format"]
    except FileNotFoundError:
        raise StepFailed(f"{folder} is no finished {kind} folder (no {MANIFEST}); make it with {made_by}") from None
    except (ValueError, LookupError, TypeError):
        raise StepFailed(f"{folder / MANIFEST} cannot be read; make the folder again with {made_by}") from None
    if found != (kind, FORMAT):
        raise StepFailed(f"{folder} is a folder of kind {found[0]!r}, format {found[1]}; give one of kind {kind!r}")
    return manifest


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def git_revision() -> str | None:
    """The commit of this checkout, with `+` behind it when files were changed since; None outside of one."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=40"],
            cwd=here, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
