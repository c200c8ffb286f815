"""Zip files that the same sources always make byte for byte alike, so that an unchanged part is not deployed again."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

_MOMENT = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can hold: file times are no part of a source
_MODE = 0o644 << 16


def write_archive(target: Path, entries: Mapping[str, Path | bytes]) -> None:
    """Write a zip of `entries` (name in the archive to a file or its bytes), sorted by name."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(entries):
            source = entries[name]
            content = source if isinstance(source, bytes) else source.read_bytes()
            info = zipfile.ZipInfo(name, _MOMENT)
            info.external_attr = _MODE
            info.create_system = 3  # Unix, wherever it is made
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)


def fingerprint(file: Path) -> str:
    """32 hex digits that stand for a file's content; part of its name in the artefacts' bucket."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:32]


def unpacked_bytes(file: Path) -> int:
    """What a zip takes up on the disk of a function."""
    with zipfile.ZipFile(file) as archive:
        return sum(entry.file_size for entry in archive.infolist())
