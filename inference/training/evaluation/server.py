"""Starts the project's own model server on a folder for as long as it is measured."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from training.errors import StepFailed

SERVE = Path(__file__).parent.parent.parent / "serve.py"
START_SECONDS = 180


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(model: Path, threads: int | None) -> Iterator[str]:
    """The base address (`http://127.0.0.1:N/v1`) of a server with this model; it is stopped at the end."""
    port = free_port()
    command = [sys.executable, str(SERVE), "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command + (["--threads", str(threads)] if threads else []), stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/ping", model, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], ping: str, model: Path, log: object) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            log.seek(0)  # type: ignore[attr-defined]
            said = log.read().decode(errors="replace").strip().splitlines()  # type: ignore[attr-defined]
            raise StepFailed(f"{model} cannot be served: {said[-1][:300] if said else 'the server ended at once'}")
        try:
            with urllib.request.urlopen(ping, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise StepFailed(f"the server for {model} was not ready in {START_SECONDS} s; try scripts/serve --model {model}")
