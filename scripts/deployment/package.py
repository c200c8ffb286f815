"""Everything that a deployment is made of, in one folder: the template and the artefacts that it names."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.deployment.archives import fingerprint, unpacked_bytes, write_archive
from scripts.deployment.failures import TooLarge
from scripts.deployment.layers import write_packages_layer, write_parley_layer
from scripts.deployment.template import write_template

ROOT = Path(__file__).resolve().parents[2]

MOST_BYTES = 40_000_000
"""What code and layers of a function may take together, unpacked; Lambda itself stops at 262 MB."""

IMAGE_SOURCES = ("inference", "constraints.txt")
NOT_IN_THE_IMAGE = {"__pycache__", "work"}


@dataclass(frozen=True)
class Package:
    """What was written. `artefacts` are the files beside the template: name to (bytes, fingerprint)."""

    folder: Path
    artefacts: dict[str, tuple[int, str]]
    packages: list[str]
    unpacked: int

    def describe(self) -> dict[str, Any]:
        """The same as JSON."""
        parts = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in self.artefacts.items()}
        return {
            "folder": str(self.folder), "artefacts": parts, "packages": self.packages, "unpacked_bytes": self.unpacked,
        }  # fmt: skip


def write_package(folder: Path, architecture: str, say: Callable[[str], None]) -> Package:
    """Write `folder` anew: template.json (SAM), function.zip, both layers, and the sources of the model's image.

    Raises PackagingFailed, MissingPackage, TooLarge or OSError; then `folder` is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name) / "package"
        made.mkdir()
        say("packaging the functions")
        write_template(ROOT / "chalice-app", ROOT / "layers", architecture, made)
        say("packaging the layers")
        write_parley_layer(made / "parley-layer.zip", ROOT / "layers")
        packages = write_packages_layer(made / "packages-layer.zip", ROOT / "layers" / "requirements.txt")
        code = [made / name for name in ("function.zip", "parley-layer.zip", "packages-layer.zip")]
        unpacked = sum(map(unpacked_bytes, code))
        if unpacked > MOST_BYTES:
            raise TooLarge(f"code and layers take {unpacked:,} bytes unpacked; {MOST_BYTES:,} is the most")
        say("packaging the model server's sources")
        write_archive(made / "image-source.zip", _image_sources())
        files = sorted(file for file in made.iterdir())
        artefacts = {file.name: (file.stat().st_size, fingerprint(file)) for file in files}
        _replace(folder, made)
    return Package(folder, artefacts, packages, unpacked)


def _image_sources() -> dict[str, Path | bytes]:
    """What `docker build -f inference/Dockerfile .` needs, by its name in the repository."""
    files: dict[str, Path | bytes] = {}
    for source in IMAGE_SOURCES:
        path = ROOT / source
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            relative = file.relative_to(ROOT)
            if file.is_file() and not NOT_IN_THE_IMAGE & set(relative.parts):
                files[relative.as_posix()] = file
    return files


def _replace(folder: Path, made: Path) -> None:
    """Put `made` where `folder` is. Raises OSError when that holds anything but an earlier package."""
    if folder.exists():
        strays = {entry.name for entry in folder.iterdir()} - {entry.name for entry in made.iterdir()}
        if strays:
            raise FileExistsError(f"{folder} holds other files ({', '.join(sorted(strays)[:3])}); name another folder")
        shutil.rmtree(folder)
    made.rename(folder)


def report(package: Package, as_json: bool) -> str:
    """What was made, for a person or a program."""
    if as_json:
        return json.dumps(package.describe())
    lines = [f"{name:<20} {size:>12,} bytes  {digest[:16]}" for name, (size, digest) in package.artefacts.items()]
    lines.append(f"{'unpacked':<20} {package.unpacked:>12,} bytes  (code and layers; at most {MOST_BYTES:,})")
    return "\n".join([f"{package.folder}:", *lines])
