"""The suite's own watch over secrets and texts: that it sees what it looks for, wherever it is written."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import SECRETS, leaks, leaks_in_files

ROOT = Path(__file__).parents[1]
WATCHED = """
import logging, subprocess, sys
from parley.aws.telemetry import PowertoolsTelemetry
from parley.domain.message import Incoming
from parley.domain.turn import ModelReply
from scripts.local.lambda_context import LambdaContext

TEXT = "what I would never tell anybody, 秘密"

def telemetry():
    return PowertoolsTelemetry()

def test_leak_by_print(): print("token xoxb-test")
def test_leak_on_standard_error(): print("a-key-of-the-tests", file=sys.stderr)
def test_leak_by_a_child(): subprocess.run([sys.executable, "-c", "print('hook-secret')"])
def test_leak_by_a_header(): logging.getLogger("urllib3").warning("Authorization: Bearer %s", "e2e-key")
def test_leak_of_a_text(): print(ModelReply(text=TEXT).text)
def test_leak_of_a_text_in_json():
    message = Incoming("e", "c", "b", "u", TEXT, 0.0, "t")
    logging.getLogger("app").error("%s", ascii(message.text))
def test_leak_by_a_fact_of_a_log_line():
    own = telemetry()
    with own.invocation("think", LambdaContext("f", 1, 1, "us-east-1")):
        own.note("noted", text=Incoming("e", "c", "b", "u", TEXT, 0.0, "t").text)
def test_leak_by_a_metric():
    own = telemetry()
    with own.invocation("xoxb-test", LambdaContext("f", 1, 1, "us-east-1")):
        own.count("Things")
def test_clean():
    Incoming("e", "c", "b", "u", TEXT, 0.0, "t")
    with telemetry().invocation("think", LambdaContext("f", 1, 1, "us-east-1")):
        telemetry().note("message received", characters=len(TEXT))
"""


def test_whatever_writes_a_secret_or_a_text_fails_its_test_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "test_watched.py").write_text(WATCHED)
    paths = [ROOT, ROOT / "layers", ROOT / "chalice-app"]
    command = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, str(tmp_path)], cwd=tmp_path, text=True, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
    )  # fmt: skip
    outcomes = {line.split("::")[1].split()[0]: line.split()[0] for line in run.stdout.splitlines() if "::" in line}
    assert outcomes.pop("test_clean") == "PASSED", run.stdout
    assert len(outcomes) == 8
    assert set(outcomes.values()) == {"FAILED"}, run.stdout
    assert run.returncode == 1


def test_log_files_of_started_systems_are_looked_through(tmp_path: Path) -> None:
    logs = tmp_path / "data0" / "logs"
    logs.mkdir(parents=True)
    (logs / "lambda.log").write_text('{"message":"received"}\n')
    assert list(leaks_in_files(tmp_path)) == []
    rotated = logs / "lambda.log.1"
    rotated.write_text('{"message":"e2e-signing-secret"}\n')
    found = list(leaks_in_files(tmp_path))
    rotated.unlink()  # or it would fail this very run
    assert found == ["data0/logs/lambda.log.1 holds 'e2e-signing-secret'"]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("tests.channels.conftest", ("SLACK_TOKEN", "TELEGRAM_TOKEN", "SIGNING_SECRET", "SECRET_TOKEN")),
        ("tests.channels.webhook_requests", ("SIGNING_SECRET", "SECRET_TOKEN")),
        ("tests.deployment.recorded_system", ("API_KEY",)),
        ("tests.deployment.slack_user", ("SIGNING_SECRET", "TOKEN")),
        ("tests.e2e.conftest", ("SLACK_SECRET", "TELEGRAM_TOKEN", "TELEGRAM_SECRET")),
        ("tests.http.test_webhooks", ("SECRET", "TELEGRAM_TOKEN")),
        ("scripts.benchmarks.slack_webhooks", ("SECRET", "TOKEN")),
    ],
)
def test_the_secrets_that_the_tests_use_are_looked_for(module: str, names: tuple[str, ...]) -> None:
    found = importlib.import_module(module)
    values = [getattr(found, name) for name in names if hasattr(found, name)]
    assert values
    assert all(leaks(f"... {value} ...", ()) for value in values)


def test_a_secret_is_long_enough_not_to_stand_anywhere_by_chance() -> None:
    assert all(len(secret) >= 7 for secret in SECRETS)
