"""A leashed command ends with its supervisor, takes what it started with it, and hands its status on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.local.processes import ROOT, wait_until

LEASH = ROOT / "scripts" / "local" / "leash.py"
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STUBBORN!r}])"


def leash(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", str(LEASH), sys.executable, "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize(
    ("code", "status"), [("", 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_status_is_handed_on(code: str, status: int) -> None:
    with leash(code) as process:
        assert process.wait(20) == status


def test_a_command_ends_when_the_supervisors_end_of_the_pipe_closes() -> None:
    with leash("import signal; print('up', flush=True); signal.pause()") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.stdin.close()
        assert process.wait(20) == 128 + signal.SIGTERM


def test_killing_takes_what_the_command_started_with_it() -> None:
    with leash(PARENT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 137
        # the grandchild held this pipe open: it is gone when the pipe ends
        wait_until(lambda: process.stdout is not None and process.stdout.read() == "")
