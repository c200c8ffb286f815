"""Processes of the local runtime, started on free ports, and how to wait for what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 15.0


def wait_until(check: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
    """Return the first true value of ``check``; fails the test when there is none in time."""
    return until(check, seconds, every=0.01)


def local_environment(**variables: str) -> dict[str, str]:
    """Return an environment in which the runtime's modules import and no cloud of the caller's is seen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PARLEY_"))}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return kept | keys | {"PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"} | variables


class LocalProcess:
    """One module of ``scripts.local`` as a process that has said it is ready."""

    def __init__(self, module: str, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.local.{module}", *arguments],
            stdout=subprocess.PIPE,
            env=local_environment(**variables),
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{module} ended before it was ready"
        self.url = f"http://127.0.0.1:{json.loads(line)['port']}"

    def end(self) -> int:
        """End it as Ctrl-C would; returns its exit status."""
        self.process.terminate()
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client that talks to this process."""
        return make_client(service, self.url, **config)


def make_client(service: str, url: str, **config: Any) -> Any:
    """Return a boto3 client with test keys that talks to ``url``."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client(service, endpoint_url=url, config=Config(retries={"max_attempts": 0}, **config))
