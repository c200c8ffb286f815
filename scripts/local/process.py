"""What every process of the local runtime shares: when to end, and how to say that it is ready."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any


def end_requested() -> threading.Event:
    """Return an event that is set when the process gets SIGTERM or SIGINT. Call from the main thread."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def report_ready(descriptor: int | None, fields: dict[str, Any]) -> None:
    """Write ``fields`` as one JSON line to the supervisor's pipe, or to stdout when there is none."""
    line = json.dumps(fields) + "\n"
    if descriptor is None:
        print(line, end="", flush=True)
        return
    os.write(descriptor, line.encode())
    os.close(descriptor)
