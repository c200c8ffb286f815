"""The two layers of every function: third-party packages and Parley's own, in zips that Lambda takes.

Third-party packages are taken from this environment, which holds the pinned versions: nothing is downloaded. Compiled
parts are left out, so that one zip serves arm64 and x86_64; each of these packages works without its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from scripts.deployment.archives import write_archive
from scripts.deployment.failures import MissingPackage

COMPILED = (".so", ".pyd", ".dylib")
UNUSED = re.compile(r"(^|/)(__pycache__|tests?|examples)/")


def write_parley_layer(target: Path, layers: Path) -> None:
    """Zip `layers`/parley to where Lambda's Python looks for a layer's packages."""
    files = {f"python/{file.relative_to(layers)}": file for file in (layers / "parley").rglob("*.py")}
    write_archive(target, files)


def write_packages_layer(target: Path, requirements: Path) -> list[str]:
    """Zip the packages that a requirements file names, with all that they need; comes back with `name==version`s.

    Raises MissingPackage.
    """
    entries: dict[str, Path | bytes] = {}
    found = installed(requirements)
    for package in found.values():
        entries |= {f"python/{name}": path for name, path in _files(package)}
    write_archive(target, entries)
    return sorted(f"{name}=={package.version}" for name, package in found.items())


def installed(requirements: Path) -> Mapping[str, Distribution]:
    """The distributions that the file names, and theirs, by normalised name."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    waiting = [_name(line) for line in lines if line]
    found: dict[str, Distribution] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise MissingPackage(
                f"{name} is not installed here; run scripts/deploy itself, which installs it"
            ) from None
        needs = (need for need in found[name].requires or [] if "extra ==" not in need)
        waiting += [_name(need) for need in needs]
    return found


def _files(package: Distribution) -> Iterator[tuple[str, Path]]:
    """A distribution's files as the layer holds them; of its metadata only what tells its version."""
    for file in package.files or []:
        name = file.as_posix()
        if name.startswith("..") or name.endswith(COMPILED) or UNUSED.search(name):
            continue
        if ".dist-info/" in name and not name.endswith("/METADATA"):
            continue
        yield name, Path(str(file.locate()))


def _name(requirement: str) -> str:
    word = re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", word).lower()
