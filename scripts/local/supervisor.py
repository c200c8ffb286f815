"""Runs the whole system on this machine: the emulated cloud, the endpoint, the model, the functions.

Starts the processes in the order that they need each other, watches them, ends them in the opposite order.
Knows commands and ports; what the processes do is theirs.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts.local.child import Child, ChildFailed
from scripts.local.child_environment import base_environment, with_dummy_credentials
from scripts.local.claims import CannotRun, keep_log_small, take_data_folder, take_port
from scripts.local.http_server import bind
from scripts.local.local_settings import DEFAULT_API_KEY, keep_signing_key, write_api_key, write_secrets
from scripts.local.options import ROOT, Options, read_options
from scripts.local.provision import Deployment, Provisioner, UnknownResource

READY_SECONDS = 60.0
MODEL_PATIENCE_SECONDS = 30.0
RESTART_WAITS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0  # a model server that ran this long starts again without a long wait
EARLY_DEATHS = 3  # a model server that ends this often without ever answering will not do so
QUEUE_WORKERS = {"think": "Inbox", "reply": "Replies", "deliver": "Outbox"}
STOP_SECONDS = {"functions": 15.0, "endpoint": 5.0, "model": 5.0, "cloud": 10.0}


class EndRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP: raised in the main thread wherever it is."""


class Supervisor:
    """All processes of one run."""

    def __init__(self, options: Options, environment: Mapping[str, str], root: Path) -> None:
        self._root = root
        self._options = options
        self._given = environment
        self._environment = base_environment(environment)
        self._logs = options.data / "logs"
        self._children: list[Child] = []
        self._ended: queue.SimpleQueue[tuple[Child, int]] = queue.SimpleQueue()
        self._model: Child | None = None
        self._model_port = 0
        self._model_answered = False
        self._model_started = 0.0
        self._model_deaths = 0
        self._restart_at: float | None = None
        self._addresses: Path | None = None

    def run(self, bound: socket.socket) -> None:
        """Start everything, print the ready line, watch. Ends by EndRequested, CannotRun or ChildFailed."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._start_model()
        self._start_cloud()
        deployment = self._provision()
        self._start_endpoint(deployment)
        self._start_functions(deployment, bound)
        port = bound.getsockname()[1]
        bound.close()
        self._write_addresses(port)
        self._give_model_time()
        print(f"ready http://127.0.0.1:{port}", flush=True)
        while True:
            self._watch(0.5)

    def _write_addresses(self, port: int) -> None:
        """Tell benchmarks and tests where each part listens: ``addresses.json`` in the data folder."""
        addresses = {
            "gateway": f"http://127.0.0.1:{port}",
            "cloud": self._environment["AWS_ENDPOINT_URL"],
            "endpoint": self._environment["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"],
            "model": f"http://127.0.0.1:{self._model_port}",
        }
        self._addresses = self._options.data / "addresses.json"
        self._addresses.write_text(json.dumps(addresses, indent=2) + "\n")

    def stop(self) -> None:
        """End all processes, the last started first, each with its time to finish."""
        for child in reversed(self._children):
            child.stop(STOP_SECONDS[child.name])
        if self._addresses:
            self._addresses.unlink(missing_ok=True)

    def kill(self) -> None:
        """End all processes at once."""
        for child in self._children:
            child.kill()

    # -- the processes, in the order in which they need each other -----------------------------------------

    def _start_model(self) -> None:
        with bind(0) as free:
            self._model_port = free.getsockname()[1]
        command = [
            sys.executable,
            str(self._root / "inference" / "serve.py"),
            "--port",
            str(self._model_port),
        ]
        if self._options.model:
            command += ["--model", self._options.model]
        self._model = self._child("model", command)
        self._launch_model()

    def _launch_model(self) -> None:
        assert self._model is not None
        self._model_started = time.monotonic()
        self._restart_at = None
        self._model.start(on_end=self._note_end)

    def _start_cloud(self) -> None:
        if self._environment.get("AWS_ENDPOINT_URL"):
            say(f"using the cloud at {self._environment['AWS_ENDPOINT_URL']}")
            if boto3.Session().get_credentials() is None:
                self._environment = with_dummy_credentials(self._environment)
            return
        self._environment = with_dummy_credentials(self._environment)
        command = [*module("aws_emulator"), "--data", str(self._options.data), "--ready-fd", "{ready}"]
        port = self._bring_up(self._child("cloud", command))["port"]
        self._environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"

    def _provision(self) -> Deployment:
        os.environ.clear()
        os.environ.update(self._environment)  # boto3 reads endpoint and keys from here
        session = boto3.Session()
        template = json.loads((self._root / "chalice-app" / ".chalice" / "resources.json").read_text())
        key = keep_signing_key(self._options.data)
        try:
            deployment = Provisioner(session).provision(template)
            environment = deployment.environment
            channels = write_secrets(session, environment["PARLEY_SECRETS_PATH"], key, self._given)
            write_api_key(session, environment["PARLEY_TABLE"], self._given.get("PARLEY_API_KEY") or DEFAULT_API_KEY)
        except (UnknownResource, BotoCoreError, ClientError) as error:
            raise CannotRun(f"cannot make the resources: {error}") from error
        say(f"resources ready; channels with credentials: {', '.join(channels) or 'none'}")
        return deployment

    def _start_endpoint(self, deployment: Deployment) -> None:
        if self._environment.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"):
            say(f"using the endpoint at {self._environment['AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME']}")
            return
        made = deployment.resources
        command = [*module("async_endpoint"), "--endpoint", deployment.environment["PARLEY_ENDPOINT"]]
        command += ["--bucket", made["Bucket"].ref, "--success-topic", made["ModelSucceeded"].ref]
        command += ["--error-topic", made["ModelFailed"].ref, "--model-port", str(self._model_port)]
        command += ["--data", str(self._options.data), "--ready-fd", "{ready}"]
        port = self._bring_up(self._child("endpoint", command))["port"]
        for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER"):
            self._environment[f"AWS_ENDPOINT_URL_{service}"] = f"http://127.0.0.1:{port}"

    def _start_functions(self, deployment: Deployment, bound: socket.socket) -> None:
        self._environment = self._environment | deployment.environment
        # a tracer would look for an X-Ray daemon, which only Lambda has
        self._environment.setdefault("POWERTOOLS_TRACE_DISABLED", "true")
        command = [*module("lambda_host"), "--listen-fd", str(bound.fileno()), "--ready-fd", "{ready}"]
        command += ["--config", str(self._root / "chalice-app" / ".chalice" / "config.json")]
        for handler, resource in QUEUE_WORKERS.items():
            command += ["--queue", f"{handler}={deployment.resources[resource].ref}"]
        self._bring_up(self._child("functions", command), (bound.fileno(),))

    def _child(self, name: str, command: list[str]) -> Child:
        log = self._logs / {"functions": "lambda.log"}.get(name, f"{name}.log")
        keep_log_small(log)
        child = Child(name, command, self._environment, log)
        self._children.append(child)
        return child

    def _bring_up(self, child: Child, inherit: tuple[int, ...] = ()) -> dict[str, Any]:
        started = time.monotonic()
        child.start(inherit=inherit, on_end=self._note_end)
        report = child.wait_ready(READY_SECONDS)
        say(f"{child.name} ready ({time.monotonic() - started:.1f} s)")
        return report

    # -- watching ------------------------------------------------------------------------------------------

    def _note_end(self, child: Child, status: int) -> None:
        self._ended.put((child, status))

    def _watch(self, seconds: float) -> None:
        """Wait up to ``seconds`` for something to do: a process that ended, a model server to start again."""
        try:
            child, status = self._ended.get(timeout=seconds)
        except queue.Empty:
            pass
        else:
            if child is not self._model:
                raise ChildFailed(f"{child.name} ended with status {status}; its log: {child.log}")
            self._model_ended(status)
        if self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._launch_model()
        if not self._model_answered and self._model_answers():
            self._model_answered = True
            say(f"model ready ({time.monotonic() - self._model_started:.1f} s)")

    def _model_ended(self, status: int) -> None:
        assert self._model is not None
        ran = time.monotonic() - self._model_started
        self._model_deaths = 1 if ran > STEADY_SECONDS else self._model_deaths + 1
        if not self._model_answered and self._model_deaths >= EARLY_DEATHS:
            raise ChildFailed(
                f"the model server ended {EARLY_DEATHS} times before it answered, last with status {status}: "
                f"{self._model.last_words()}; its log: {self._model.log}"
            )
        wait = RESTART_WAITS[min(self._model_deaths, len(RESTART_WAITS)) - 1]
        say(f"the model server ended with status {status}; starting it again in {wait} s; its log: {self._model.log}")
        self._restart_at = time.monotonic() + wait

    def _give_model_time(self) -> None:
        deadline = time.monotonic() + MODEL_PATIENCE_SECONDS
        while not self._model_answered:
            if time.monotonic() > deadline:
                say("the model still loads; messages are taken and wait for it")
                return
            self._watch(0.1)

    def _model_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._model_port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def module(name: str) -> list[str]:
    """Return the command that runs a module of this package."""
    # -P: the folder that the caller is in must not shadow modules
    return [sys.executable, "-P", "-m", f"scripts.local.{name}"]


def say(text: str) -> None:
    """Tell the person at the terminal, on stderr: stdout carries the ready line alone."""
    print(f"parley: {text}", file=sys.stderr, flush=True)


def main(root: Path = ROOT) -> int:
    """Run the checkout at ``root`` until asked to end; returns 0 then, 1 when something failed by itself."""
    options = read_options()
    supervisor = Supervisor(options, dict(os.environ), root)

    def end_now(number: int, frame: object) -> None:
        supervisor.kill()
        os._exit(130)

    def end(number: int, frame: object) -> None:
        on_end_signals(end_now)
        raise EndRequested

    on_end_signals(end)
    status = 0
    try:
        take_data_folder(options.data)
        supervisor.run(take_port(options.port))
    except EndRequested:
        say("ending")
    except (CannotRun, ChildFailed) as error:
        say(str(error))
        status = 1
    on_end_signals(end_now)
    supervisor.stop()
    return status


def on_end_signals(handler: Callable[[int, object], None]) -> None:
    """Have the signals that end a run call ``handler``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
