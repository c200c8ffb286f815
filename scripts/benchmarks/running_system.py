"""A system on this machine as a child process: started, found, asked for its ledgers, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LEDGER = "/_parley/requests"
ROOMY = {
    "PARLEY_USER_REQUESTS_PER_MINUTE": "1000000",
    "PARLEY_USER_TOKENS_PER_DAY": "1000000000",
    "PARLEY_USER_TURNS_AT_ONCE": "1000",
}
"""Limits that are counted, as in a deployment, and never reached: a load may come from one user."""


class RunningSystem:
    """`module` is what starts it, `more` its further arguments; `environment` comes on top of this process's.

    A context manager.
    """

    def __init__(self, module: str, environment: Mapping[str, str], *more: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parley-bench-")
        command = [sys.executable, "-m", module, "--port", "0", "--data", self._folder.name, *more]
        given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **ROOMY, **environment}
        self._process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        line = (self._process.stdout or sys.stdin).readline()
        if not line.startswith("ready "):
            self.__exit__(None, None, None)
            raise RuntimeError("the system did not start; what it said is above")
        self.url = line.split()[1]
        self._addresses: dict[str, str] = json.loads((Path(self._folder.name) / "addresses.json").read_text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._process.pid

    def take_stored(self, beginning: str) -> dict[str, Any]:
        """What load_system's `take` gives: conversations that rest, removed from it; and how many do not rest yet."""
        request = urllib.request.Request(self._addresses["control"], json.dumps({"beginning": beginning}).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            taken: dict[str, Any] = json.load(answer)
        return taken

    def take_ledger(self) -> list[dict[str, Any]]:
        """The AWS requests since the last call, by service, operation and caller, as the servers saw them."""
        entries: list[dict[str, Any]] = []
        for part in ("cloud", "endpoint"):
            request = urllib.request.Request(self._addresses[part] + LEDGER, method="POST")
            with urllib.request.urlopen(request, timeout=10) as answer:
                entries += json.load(answer)["requests"]
        return entries
