"""Runs one command that must not outlive its supervisor, not even when that is killed with -9.

The supervisor holds the other end of stdin: when it closes, for whatever reason, the command ends.
SIGTERM is passed on; SIGINT kills the command and everything it started at once.

    python leash.py COMMAND ARGUMENT...
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 10.0


def main() -> int:
    """Run the command; returns its exit status, or 128 + the signal that ended it."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def send(number: int) -> None:
        if child is None:
            early.append(number)
            return
        # it may have ended meanwhile (macOS says EPERM for a group of zombies)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)

    def end_with_supervisor() -> None:
        # a signal that this thread took would wait until the main thread wakes for another reason
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        while os.read(0, 4096):
            pass
        send(signal.SIGTERM)
        threading.Timer(GRACE_SECONDS, send, (signal.SIGKILL,)).start()

    # before the command starts: a signal in between must not end the leash alone
    signal.signal(signal.SIGTERM, lambda *_: send(signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: send(signal.SIGKILL))
    # its own process group, so that what the command starts ends with it
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, close_fds=False, process_group=0)
    for number in early:
        send(number)
    threading.Thread(target=end_with_supervisor, daemon=True).start()
    status = child.wait()
    send(signal.SIGKILL)
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    sys.exit(main())
