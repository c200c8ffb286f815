"""The set-up makes an environment once, says what is wrong in one line, and bears being run twice at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.local.processes import ROOT

SCRIPT = ROOT / "scripts" / "local" / "environment.py"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose requirements files ask for nothing, so that nothing is fetched."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "constraints.txt").write_text("# none\n")
    for group in ("layers", "scripts"):
        (root / group).mkdir()
        (root / group / "requirements.txt").write_text("# nothing\n")
    return root


def prepare(root: Path, *groups: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(root), *groups],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_install_once_and_later_runs_do_nothing(checkout: Path) -> None:
    both = [prepare(checkout, "layers", "scripts"), prepare(checkout, "scripts")]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("making .venv" in err for err in said) == 1
    assert (checkout / ".venv" / "bin" / "python").exists()
    started = time.monotonic()
    _, err = prepare(checkout, "layers", "scripts").communicate(timeout=60)
    assert err == ""
    assert time.monotonic() - started < 5
    (checkout / "layers" / "requirements.txt").write_text("# still nothing\n")
    _, err = prepare(checkout, "layers", "scripts").communicate(timeout=60)
    assert "installing layers/requirements.txt (" in err


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [(["unknown"], "unknown group"), (["tests"], "tests/requirements.txt is missing")],
)
def test_what_is_wrong_is_said_in_one_line(checkout: Path, groups: list[str], complaint: str) -> None:
    process = prepare(checkout, *groups)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_a_machine_without_a_suitable_python_is_told_so(tmp_path: Path) -> None:
    for name in ("dirname", "bash"):
        target = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / name).symlink_to(target)
    for name in ("python3", "python3.12"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    command = ["bash", "-c", f'source "{ROOT}/scripts/setup.sh" layers']
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, env={"PATH": str(tmp_path)})
    assert ended.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_launchers_get_root_python_and_path() -> None:
    script = f'source "{ROOT}/scripts/setup.sh" --find-python; "$PYTHON" -c "" && echo "$PARLEY_ROOT|$PYTHONPATH"'
    command = ["bash", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, env={"PATH": os.environ["PATH"]})
    assert ended.stdout.strip() == f"{ROOT}|{ROOT}:{ROOT}/layers:{ROOT}/chalice-app"
    assert ended.returncode == 0
