"""What `scripts/chaos points` finds, in the product as it is and in one that is broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = 100
"""Some of the faults at every call that a stage makes; all of them take some minutes."""


def chaos(*arguments: str, module: str = "tests.chaos") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "layers", "chalice-app"))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_no_promise_is_broken_at_any_call_of_any_stage() -> None:
    done = chaos("points", "--sample", str(SAMPLE))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.split())
    assert all(int(rows[stage].split()[1]) > 0 for stage in ("receive", "think", "reply", "deliver", "sweep"))
    assert rows["all"].split()[1:] == [str(SAMPLE), "0"]


def test_what_is_broken_on_purpose_is_found() -> None:
    done = chaos(module="tests.chaos.sabotage")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found
    for says, (without, with_it) in found.items():
        assert not without, says
        assert with_it, says


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("points", "--fault", "nonsense"), ("points", "--only", "slack/1/nonsense")]
)
def test_what_cannot_be_understood_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = chaos(*arguments)
    assert done.returncode == 2
    assert "chaos" in done.stderr
    assert "Traceback" not in done.stderr
