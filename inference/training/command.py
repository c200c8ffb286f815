"""How a step's command speaks with whoever waits for it: progress, errors of one line, exit status. Does no step."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable

from training.errors import Refused, StepFailed

EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def conclude(program: str, work: Callable[[], int]) -> int:
    """The exit status of `work`: its own, 1 when it was refused, 2 after an error that was told, 130 after Ctrl-C."""
    try:
        return work()
    except Refused as error:
        return _end(program, 1, str(error))
    except StepFailed as error:
        return _end(program, 2, str(error))
    except OSError as error:
        return _end(program, 2, _explain(error))
    except KeyboardInterrupt:
        return _end(program, 130, "stopped; run it again to go on")
    except Exception as error:
        # asked by name, so that a step without AWS needs no botocore
        if not any(kind.__module__.startswith("botocore.") for kind in type(error).__mro__):
            raise
        return _end(program, 2, f"AWS refused: {' '.join(str(error).split())[:300]}")


def _end(program: str, status: int, text: str) -> int:
    print(f"{program}: {text}", file=sys.stderr, flush=True)
    return status


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full; make room and run it again to go on"
        case errno.EFBIG:
            return "a file grew past what this account may write (ulimit -f); raise the limit and run it again to go on"
    return str(error)


class Progress:
    """One line on standard error that is written over on a terminal, and comes every `EVERY` seconds elsewhere."""

    def __init__(self, program: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._program = program
        self._clock = clock
        self._live = sys.stderr.isatty()
        self._begun = clock()
        self._told = self._begun - (EVERY if self._live else 0)

    def __call__(self, text: str) -> None:
        """Say how far it is; most calls say nothing."""
        now = self._clock()
        if now - self._told < (0.2 if self._live else EVERY):
            return
        self._told = now
        line = f"{self._program}: {text} ({now - self._begun:.0f} s)"
        print(f"\r\x1b[K{line}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Say something that stays."""
        print(f"{chr(13) + chr(27) + '[K' if self._live else ''}{self._program}: {text}", file=sys.stderr, flush=True)
