"""Waiting for an event, with a deadline; never for a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_never = threading.Event()


def until(look: Callable[[], T | None], seconds: float = 20.0, every: float = 0.02) -> T:
    """The first true value that `look` gives. Raises AssertionError when none comes within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain")
        _never.wait(every)
