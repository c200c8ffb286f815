"""One process of the local runtime: started on a leash, its output in a log file, its readiness awaited."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEASH = Path(__file__).with_name("leash.py")


class ChildFailed(Exception):
    """A process ended or did not get ready; the message says which, how, and where its log is."""


class Child:
    """A named command. ``start()`` may be called again after it ended."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_pipe = -1
        self._stopping = False

    def start(self, *, inherit: tuple[int, ...] = (), on_end: Callable[[Child, int], None] | None = None) -> None:
        """Start it; ``on_end(child, status)`` is called from a thread when it ends without ``stop()``."""
        reading, writing = os.pipe()
        self._ready_pipe = reading
        command = [entry.replace("{ready}", str(writing)) for entry in self._command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=(writing, *inherit),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends all in order
            )
        os.close(writing)
        threading.Thread(target=self._watch, args=(self._process, on_end), daemon=True).start()

    def wait_ready(self, seconds: float) -> dict[str, Any]:
        """Return what the process reported when ready. Raises ChildFailed when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._ready_pipe], [], [], left)[0]:
                raise ChildFailed(f"{self.name} is not ready after {seconds:.0f} s; its log: {self.log}")
            chunk = os.read(self._ready_pipe, 4096)
            if not chunk:
                raise ChildFailed(f"{self.name} ended before it was ready: {self.last_words()}; its log: {self.log}")
            line += chunk
        os.close(self._ready_pipe)
        report: dict[str, Any] = json.loads(line)
        return report

    def stop(self, seconds: float) -> None:
        """End it with SIGTERM, and with SIGKILL when it takes longer than ``seconds``."""
        self._stopping = True
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it and all that it started at once."""
        self._stopping = True
        self._signal(signal.SIGINT)

    def last_words(self) -> str:
        """Return the last line of the log, which often says why the process ended."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _watch(self, process: subprocess.Popen[bytes], on_end: Callable[[Child, int], None] | None) -> None:
        status = process.wait()
        if on_end is not None and not self._stopping:
            on_end(self, status)
