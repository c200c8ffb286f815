"""A server process for tests, and the clients that talk to it over HTTP."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import openai

SERVE = Path(__file__).resolve().parents[2] / "inference" / "serve.py"
DEADLINE = 30.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the machine has


class Server:
    """`python inference/serve.py ARGUMENTS` on a free port, ready when entered."""

    def __init__(self, arguments: list[str]) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "SAGEMAKER_"))}
        # A file: nobody reads a pipe while tests run, and a full one would stop the server.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed on exit
        self.process = subprocess.Popen(
            [sys.executable, str(SERVE), "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**environment, "HF_HUB_OFFLINE": "1"},
        )
        self.url = ""

    def __enter__(self) -> Self:
        line = self.line()
        found = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+)\n", line)
        if found is None:
            self.process.kill()
            raise AssertionError(f"not ready: {line!r} {self.logged()}")
        self.url = found.group(1)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.log.close()

    def logged(self) -> str:
        """Everything it wrote to its log so far."""
        self.log.seek(0)
        return self.log.read()

    def wait(self) -> int:
        """Its exit status, once it ends; subprocess.TimeoutExpired past the deadline."""
        return self.process.wait(DEADLINE)

    def client(self) -> openai.OpenAI:
        """The official client, pointed here; it does not retry, so that tests see each error."""
        direct = openai.DefaultHttpxClient(trust_env=False)
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=DEADLINE, http_client=direct
        )

    def line(self) -> str:
        """The next line of its output; "" when it ended, AssertionError past the deadline."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], DEADLINE)[0]:
            self.process.kill()
            raise AssertionError("the server said nothing in time")
        return self.process.stdout.readline()

    def post(self, body: Any, path: str = "/invocations") -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON and headers (lower case) of a POST; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request(urllib.request.Request(self.url + path, data, method="POST"))

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET."""
        try:
            with DIRECT.open(self.url + path, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def request(self, request: urllib.request.Request) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON and headers of any request."""
        try:
            with DIRECT.open(request, timeout=DEADLINE) as answer:
                status, raw, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, raw, headers = error.code, error.read(), error.headers
        return status, json.loads(raw), {key.lower(): value for key, value in headers.items()}

    def gauge(self, name: str) -> float:
        """A metric's value."""
        found = re.search(rf"^parley_{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        assert found is not None, name
        return float(found.group(1))

    def until(self, name: str, value: float) -> None:
        """Wait for a metric to have a value; AssertionError past the deadline."""
        self._until(name, lambda seen: seen == value)

    def until_at_least(self, name: str, value: float) -> None:
        """Wait for a metric to reach a value; AssertionError past the deadline."""
        self._until(name, lambda seen: seen >= value)

    def answers(self) -> int:
        """The status of its first answer to /ping, as soon as there is one; AssertionError past the deadline."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                return self.get("/ping")[0]
            except urllib.error.URLError:
                continue
        raise AssertionError("no answer in time")

    def _until(self, name: str, true: Callable[[float], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not true(seen := self.gauge(name)):
            assert time.monotonic() < deadline, f"{name} is still {seen}"


def user(text: str, **fields: Any) -> dict[str, Any]:
    """A request with one user message."""
    return {"messages": [{"role": "user", "content": text}], **fields}
