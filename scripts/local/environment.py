"""Makes the virtual environment of a checkout and keeps it equal to the requirements files.

Runs on a bare Python before anything is installed: standard library only. Two at once wait for each other.

    python scripts/local/environment.py ROOT GROUP...
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = {
    "layers": "layers/requirements.txt",
    "inference": "inference/requirements.txt",
    "training": "inference/training/requirements.txt",
    "scripts": "scripts/requirements.txt",
    "tests": "tests/requirements.txt",
}
CONSTRAINTS = "constraints.txt"
OLDEST, NEWEST = (3, 11), (3, 13)


class SetupFailed(Exception):
    """What went wrong and what to do about it, in one line."""


def prepare(root: Path, groups: list[str]) -> Path:
    """Return the environment's Python, with the pinned requirements of all ``groups`` installed.

    Raises SetupFailed. Does nothing when the files are those of the last installation.
    """
    files = [_requirements_file(root, group) for group in groups]
    environment = root / ".venv"
    with (root / ".venv.lock").open("w") as lock:
        _lock(lock.fileno())
        python = _make_environment(environment)
        wanted = {_stamp(environment, file, root / CONSTRAINTS): file for file in files}
        missing = {stamp: file for stamp, file in wanted.items() if not stamp.exists()}
        if missing:
            _install(python, list(missing.values()), root / CONSTRAINTS)
            for stamp in missing:
                stamp.touch()
    return python


def _requirements_file(root: Path, group: str) -> Path:
    if group not in REQUIREMENTS:
        raise SetupFailed(f"unknown group {group!r}; the groups are {', '.join(REQUIREMENTS)}")
    file = root / REQUIREMENTS[group]
    if not file.exists():
        raise SetupFailed(f"{REQUIREMENTS[group]} is missing; restore it from the repository")
    return file


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another set-up of this folder is running; waiting for it")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _make_environment(environment: Path) -> Path:
    """Return the environment's Python; makes the environment when absent, broken or of another version."""
    python = environment / "bin" / "python"
    if not _works(python):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        _say(f"making .venv with Python {version}")
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(environment)
    return python


def _works(python: Path) -> bool:
    check = f"import sys, pip; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _stamp(environment: Path, file: Path, constraints: Path) -> Path:
    """Return the path whose existence says that exactly these files were installed into this environment."""
    digest = hashlib.sha256(file.read_bytes() + b"\0" + constraints.read_bytes()).hexdigest()[:16]
    return environment / f".installed-{file.parent.name}-{digest}"


def _install(python: Path, files: list[Path], constraints: Path) -> None:
    names = ", ".join(str(file.relative_to(constraints.parent)) for file in files)
    _say(f"installing {names} (the first time this takes some minutes)")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-c", str(constraints)]
    for file in files:
        command += ["-r", str(file)]
    # never into the environment that the caller happens to be in
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    if subprocess.run(command, env=variables).returncode != 0:
        raise SetupFailed(f"pip could not install {names}; its messages above say why (is the network reachable?)")
    _say("installed")


def _say(text: str) -> None:
    print(f"parley: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Prepare the environment that the arguments ask for; returns the exit status."""
    try:
        prepare(Path(sys.argv[1]), sys.argv[2:])
    except SetupFailed as error:
        _say(f"set-up failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
