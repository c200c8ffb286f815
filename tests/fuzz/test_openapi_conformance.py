"""schemathesis over the published document, against the real HTTP front: what it promises is what the code does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parley.stages import answer_to_caller
from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.fuzz.bounded import TIMES
from tests.fuzz.conftest import SECRETS

ROOT = Path(__file__).parents[2]
CODE = ("", "layers", "chalice-app")
EXAMPLES = 5


def test_the_published_document_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_to_caller, "FIRST_PAUSE", 0.002)  # the echo answers at once, a thousand times
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", "--no-color",
        "--header", "Authorization: Bearer key-a",
        "--checks", "all", "--exclude-checks", "positive_data_acceptance",
        "--max-examples", str(EXAMPLES * TIMES), "--continue-on-failure",
        *(["--generation-deterministic"] if TIMES == 1 else ["--generation-database", "none"]),
    ]  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in CODE),
        "SCHEMATHESIS_HOOKS": "tests.fuzz.schemathesis_checks",
    }
    with StandInRuntime(StandInWiring(secrets=SECRETS)) as runtime:
        ran = subprocess.run(
            [*command, f"{runtime.url}/openapi.json"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
    assert ran.returncode == 0, ran.stdout[-10_000:] + ran.stderr[-2_000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in ran.stdout
