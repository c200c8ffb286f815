"""The owner's commands as an owner runs them: processes, over the emulated cloud of scripts/run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.local.processes import ROOT, LocalProcess, local_environment

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def command() -> Iterator[Command]:
    """Runs a module of scripts/ against an emulated cloud of its own, without a terminal."""
    emulator = LocalProcess("aws_emulator")
    environment = local_environment(
        PYTHONPATH=os.pathsep.join(str(ROOT / part) for part in (".", "layers", "chalice-app")),
        AWS_ENDPOINT_URL=emulator.url.replace("127.0.0.1", "localhost"),  # by which moto knows its own S3 addresses
        AWS_MAX_ATTEMPTS="1",
        PYTHONWARNINGS="ignore",
    )

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-P", "-m", module, *arguments]
        return subprocess.run(
            line, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    yield run
    emulator.end()


SMALL = ("--instance-type", "ml.g4dn.xlarge")


def test_an_owner_plans_deploys_deploys_again_and_destroys(command: Command) -> None:
    planned = command("scripts.deployment", "--plan", *SMALL)
    assert planned.returncode == 0, planned.stderr
    assert "+ Table (AWS::DynamoDB::Table)" in planned.stderr
    alone = command("scripts.deployment", *SMALL)
    assert alone.returncode == 1
    assert "run it with --yes" in alone.stderr
    made = command("scripts.deployment", "--yes", "--json", *SMALL)
    assert made.returncode == 0, made.stderr
    outputs = json.loads(made.stdout)
    assert outputs["Repository"].endswith("/parley-prod-inference")
    assert "building the image" in made.stderr
    again = command("scripts.deployment", "--yes", *SMALL)
    assert again.returncode == 0, again.stderr
    assert "the stack is as it should be" in again.stderr
    assert "sending" not in again.stderr
    kept = command("scripts.deployment.destroy")
    assert kept.returncode == 1
    assert "stays" in kept.stderr
    gone = command("scripts.deployment.destroy", "--yes", "--json")
    assert gone.returncode == 0, gone.stderr
    assert json.loads(gone.stdout)["deleted"] == "parley-prod"
    nothing = command("scripts.deployment.destroy", "--yes")
    assert nothing.returncode == 2
    assert nothing.stderr.strip().splitlines()[-1].endswith("nothing to do")


@pytest.mark.parametrize("module", ["scripts.deployment", "scripts.deployment.destroy"])
def test_help_says_what_the_command_does(command: Command, module: str) -> None:
    told = command(module, "--help")
    assert told.returncode == 0
    assert "--stage" in told.stdout


@pytest.mark.parametrize(
    "name", ["doctor", "status", "redrive", "secrets", "keys", "logs", "usage", "cost", "simulate"]
)
def test_every_command_has_help_with_json(command: Command, name: str) -> None:
    sub = {"redrive": ["list"], "secrets": ["list"], "keys": ["list"]}.get(name, [])
    told = command(f"scripts.operations.{name}", *sub, "--help")
    assert told.returncode == 0, told.stderr
    assert "--json" in told.stdout


@pytest.mark.parametrize("name", ["doctor", "status", "keys", "redrive"])
def test_without_a_stack_each_command_ends_with_2_and_one_line(command: Command, name: str) -> None:
    arguments = {"keys": ["list"], "redrive": ["list"], "status": ["--once"]}.get(name, [])
    told = command(f"scripts.operations.{name}", *arguments, "--stage", "nowhere")
    assert told.returncode == 2
    lines = told.stderr.strip().splitlines()
    assert len(lines) == 1, told.stderr
    assert "there is no stack parley-nowhere" in lines[0]
