"""``scripts/run`` from start to end, with a small app and model in place of the real ones."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.processes import ROOT, local_environment, wait_until

RUN = """
import sys
from pathlib import Path
from scripts.local.supervisor import main
sys.exit(main(Path(sys.argv.pop(1))))
"""


RECEIVED = '"approximate_receive_count": 1'


class Run:
    """One running system."""

    def __init__(self, root: Path, *arguments: str, **variables: str) -> None:
        path = f"{ROOT}{os.pathsep}{root / 'chalice-app'}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(root), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=local_environment(**{"PYTHONPATH": path} | variables),
            text=True,
        )
        self.port = 0

    def ready(self) -> Run:
        """Wait for the ready line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"ready http://127\.0\.0\.1:([0-9]+)\n", line)
        assert found, (line, self.process.stderr and self.process.stderr.read())
        self.port = int(found.group(1))
        return self

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; returns exit status, further stdout, stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and JSON of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def say(self, thread: str, text: str) -> None:
        """Send a text on its way through all queues."""
        assert self.ask("POST", f"/say/{thread}", {"text": text})[0] == 202

    def said(self, thread: str) -> str | None:
        """Return what came out at the other end, if it did already."""
        status, answer = self.ask("GET", f"/said/{thread}")
        return answer["text"] if status == 200 else None

    def processes(self) -> list[int]:
        """Return the ids of all processes below the supervisor."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        found = [self.process.pid]
        for process in found:
            found += [child for child, parent in parents.items() if parent == process]
        return found[1:]


def alive(process: int) -> bool:
    """Whether a process runs (one that ended and waits to be collected does not)."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(shown) and not shown.startswith("Z")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose app and model are the samples, with the real definition of the resources."""
    made = tmp_path_factory.mktemp("checkout")
    sample = ROOT / "tests" / "local" / "sample"
    for source, folder in (
        (sample / "app.py", "chalice-app"),
        (sample / "serve.py", "inference"),
        (ROOT / "chalice-app" / ".chalice" / "resources.json", "chalice-app/.chalice"),
    ):
        (made / folder).mkdir(exist_ok=True)
        shutil.copy(source, made / folder)
    return made


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts systems on free ports that share one data folder; those still running at the end are killed."""
    started: list[Run] = []

    def start(*arguments: str, **variables: str) -> Run:
        options = [] if "--port" in arguments else ["--port", "0"]
        started.append(Run(root, *options, "--data", str(tmp_path / "data"), *arguments, **variables))
        return started[-1]

    yield start
    for system in started:
        system.process.kill()
        system.process.communicate()


def test_a_message_goes_all_the_way_and_outlives_its_run_as_no_process_does(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    system = run(SLACK_SIGNING_SECRET="hush").ready()
    system.say("t1", "hello")
    assert wait_until(lambda: system.said("t1")) == "HELLO"
    processes = system.processes()
    assert len(processes) == 8  # cloud, endpoint, model and functions, each on its leash
    addresses = json.loads((tmp_path / "data" / "addresses.json").read_text())
    assert addresses.keys() == {"gateway", "cloud", "endpoint", "model"}
    assert addresses["gateway"] == f"http://127.0.0.1:{system.port}"
    status, out, err = system.end(signal.SIGINT)
    assert (status, out) == (0, "")
    assert "channels with credentials: slack" in err
    assert "hush" not in err
    assert not any(map(alive, processes))
    assert not (tmp_path / "data" / "addresses.json").exists()
    system = run().ready()
    assert system.said("t1") == "HELLO"
    processes = system.processes()
    system.process.kill()  # nothing may outlive even a supervisor that has no chance to end it
    wait_until(lambda: not any(map(alive, processes)))
    assert {path.name for path in (tmp_path / "data" / "logs").iterdir()} == {
        "cloud.log",
        "endpoint.log",
        "lambda.log",
        "model.log",
    }


def test_a_running_system_survives_its_model_refuses_a_second_and_ends_with_its_cloud(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    system = run().ready()
    second = run()
    system.say("deadly", "die now")  # kills its container three times, then fails
    # sooner, and it could be running beside the deadly one at each of the three deaths
    wait_until(lambda: stored(tmp_path / "data" / "endpoint.sqlite", "SELECT max(attempts) FROM jobs") >= [2])
    system.say("patient", "hello")
    _, err = second.process.communicate(timeout=20)
    assert second.process.returncode == 1
    assert f"in use by another scripts/run (process {system.process.pid})" in err
    assert len(err.splitlines()) == 1
    assert wait_until(lambda: system.said("patient"), 40) == "HELLO"
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    (cloud,) = (
        int(line.split()[0])
        for line in listed.splitlines()
        if "scripts.local.aws_emulator" in line and str(tmp_path) in line and "leash" not in line
    )
    os.kill(cloud, signal.SIGKILL)
    _, err = system.process.communicate(timeout=30)
    assert system.process.returncode == 1
    assert "model server ended with status 3; starting it again" in err
    assert f"cloud ended with status 137; its log: {tmp_path}" in err.splitlines()[-1]


def test_a_second_signal_ends_everything_at_once(run: Callable[..., Run], tmp_path: Path) -> None:
    system = run().ready()
    system.say("t1", "hold on")  # an invocation that the first signal would wait ten seconds for
    database = tmp_path / "data" / "cloud.sqlite"
    wait_until(lambda: any(RECEIVED in body for body in stored(database, "SELECT body FROM messages")))
    processes = system.processes()
    system.process.send_signal(signal.SIGTERM)
    assert system.process.stderr is not None
    assert any(line == "parley: ending\n" for line in iter(system.process.stderr.readline, ""))
    began = time.monotonic()
    system.process.send_signal(signal.SIGINT)
    assert system.process.wait(10) == 130
    wait_until(lambda: not any(map(alive, processes)))
    assert time.monotonic() - began < 5


def stored(database: Path, query: str) -> list[Any]:
    """Return the first column of what a process keeps in its database, without nulls."""
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute(query) if row[0] is not None]
    finally:
        connection.close()


def test_a_port_in_use_is_refused(run: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        system = run("--port", str(port))
        _, err = system.process.communicate(timeout=20)
    assert system.process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert len(err.splitlines()) == 1


def test_a_model_that_never_answers_ends_the_run_with_its_last_words(run: Callable[..., Run]) -> None:
    system = run("--model", "broken")
    out, err = system.process.communicate(timeout=30)
    assert (system.process.returncode, out) == (1, "")
    assert "no such model: broken" in err.splitlines()[-1]


def test_a_cloud_that_is_already_there_is_used(run: Callable[..., Run], cloud: Any) -> None:
    system = run(AWS_ENDPOINT_URL=cloud.url).ready()
    system.say("elsewhere", "hello")
    assert wait_until(lambda: system.said("elsewhere")) == "HELLO"
    assert len(system.processes()) == 6
    status, _, err = system.end()
    assert status == 0
    assert f"using the cloud at {cloud.url}" in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [(["--help"], 0, "--data DIR"), (["--port", "x"], 2, "no port"), (["--unknown"], 2, "unrecognized")],
)
def test_help_and_wrong_arguments_need_no_installation(arguments: list[str], status: int, said: str) -> None:
    command = [sys.executable, "-S", str(ROOT / "scripts" / "local" / "options.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == status
    assert said in ended.stdout + ended.stderr
