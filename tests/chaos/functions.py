"""The deployed functions, each in a process of its own that lives until it is killed, as Lambda runs them.

A process is a fork of one that has everything imported. Its clock is the run's: it stands still during an invocation,
but for what the code sleeps.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, SupportsIndex

from chalicelib import wiring
from scripts.local.function_settings import REST_API, read_function_settings
from scripts.local.lambda_context import LambdaContext

REGION = "us-east-1"
CONFIG = Path(__file__).parents[2] / "chalice-app/.chalice/config.json"

Answer = tuple[str, Any]
"""`returned` and what the handler returned, `raised` and its traceback, or `slept` and for how many seconds."""


class Function:
    """One function's process; a `Caller` of the proxy's while it runs an invocation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._limit = read_function_settings(CONFIG, name).timeout_seconds
        self._left = 0.0
        self.pipe, other = multiprocessing.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self.pipe.close()
            _live(name, self._limit, other)
        other.close()

    def begin(self, event: dict[str, Any], now: float) -> None:
        """Start an invocation."""
        self._left = self._limit
        self.pipe.send((event, now))

    def go_on(self, seconds: float, now: float) -> None:
        """Wake up from a sleep of so many seconds."""
        self._left -= seconds
        self.pipe.send(now)

    def answer(self) -> Answer:
        """What the invocation says next."""
        said: Answer = self.pipe.recv()
        return said

    def has_said(self) -> bool:
        """Whether there is an answer, or will be none any more."""
        return not self.alive or self.pipe.poll()

    def kill(self) -> None:
        """Nothing in it can see this coming."""
        if self.alive:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self.pipe.close()
            self.alive = False

    def time_out(self, seconds: float) -> None:
        """The read that it waits in times out; Lambda ends it when its own time is over by then."""
        self._left -= seconds
        if self._left <= 0:
            self.kill()
        elif self.alive:
            os.kill(self._pid, signal.SIGUSR1)


class Rehearsal:
    """A function that runs in this process, whose calls somebody else serves: it can do all but die."""

    alive = True
    pipe = None

    def __init__(self, name: str) -> None:
        self._name = name
        self._handler = _handler(name)
        self._answer: Answer = ("", None)

    def begin(self, event: dict[str, Any], now: float) -> None:
        """Run the whole of an invocation."""
        self._answer = _run(self._handler, event, LambdaContext(self._name, 60, 512, REGION))

    def answer(self) -> Answer:
        """What came of it."""
        return self._answer

    def has_said(self) -> bool:
        """It has."""
        return True

    def go_on(self, seconds: float, now: float) -> None:
        """It does not sleep."""

    def kill(self) -> None:
        """It ends with its process."""

    def time_out(self, seconds: float) -> None:
        """Nothing hangs in a rehearsal."""


def _live(name: str, limit: float, pipe: Any) -> None:
    """Handle events for ever."""
    clock = _Clock(pipe)
    time.time, time.monotonic, time.sleep = clock.time, clock.time, clock.sleep
    random.seed(0)  # the SDK's waits between its tries
    signal.signal(signal.SIGUSR1, _time_out)
    try:
        handler = _handler(name)
        wiring.use(wiring.Wiring())
        while True:
            event, clock.now = pipe.recv()
            pipe.send(_run(handler, event, LambdaContext(name, limit, 512, REGION)))
    finally:
        os._exit(1)  # whatever happens, this is not the process it was forked from


def _handler(name: str) -> Callable[[dict[str, Any], Any], Any]:
    module = importlib.import_module("app")
    handler: Callable[[dict[str, Any], Any], Any] = module.app if name == REST_API else getattr(module, name)
    return handler


def _run(handler: Callable[[dict[str, Any], Any], Any], event: dict[str, Any], context: LambdaContext) -> Answer:
    try:
        return "returned", handler(event, context)
    except Exception:
        return "raised", traceback.format_exc()


def _time_out(number: int, frame: FrameType | None) -> None:
    """What a read raises whose time is over. Where nothing is being read, yet or any more, nothing happens."""
    if frame is not None and frame.f_code.co_name == "readinto":
        raise TimeoutError("timed out")


class _Clock:
    """The run's time in a function's process."""

    def __init__(self, pipe: Any) -> None:
        self.now = 0.0
        self._pipe = pipe

    def time(self) -> float:
        """Epoch seconds; also what measures intervals."""
        return self.now

    def sleep(self, seconds: float | SupportsIndex) -> None:
        """Ask the run for the time to pass."""
        self._pipe.send(("slept", seconds))
        self.now = self._pipe.recv()
