"""The bounded queue before the engine: callers take turns, first come first served within one caller.

Shared by the threads that submit and the one that runs. Knows nothing of the model.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from engine.sequence import Sequence


class QueueFull(Exception):
    """The bound is reached; `bound` is in sequences."""

    def __init__(self, bound: int) -> None:
        super().__init__(f"{bound} sequences are already waiting.")
        self.bound = bound


class WaitingQueue:
    """Sequences that wait for a row. Every method may be called from any thread."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._changed = threading.Condition()
        self._callers: OrderedDict[str, deque[Sequence]] = OrderedDict()
        self._length = 0
        self._closed = False
        self._woken = False

    def __len__(self) -> int:
        return self._length

    def push(self, sequences: list[Sequence]) -> None:
        """Add all of them or none. Raises QueueFull past the bound, RuntimeError once closed."""
        with self._changed:
            if self._closed:
                raise RuntimeError("The engine has stopped.")
            if self._length + len(sequences) > self.bound:
                raise QueueFull(self.bound)
            for sequence in sequences:
                self._callers.setdefault(sequence.caller, deque()).append(sequence)
            self._length += len(sequences)
            self._changed.notify()

    def peek(self) -> Sequence | None:
        """The sequence whose turn it is."""
        with self._changed:
            return next(iter(self._callers.values()))[0] if self._length else None

    def pop(self) -> Sequence:
        """Take the sequence whose turn it is; its caller goes to the end of the round. IndexError when empty."""
        with self._changed:
            if not self._length:
                raise IndexError("The queue is empty.")
            caller, line = next(iter(self._callers.items()))
            sequence = line.popleft()
            self._length -= 1
            if line:
                self._callers.move_to_end(caller)
            else:
                del self._callers[caller]
            return sequence

    def take_cancelled(self) -> list[Sequence]:
        """Remove and give all sequences that were cancelled while they waited."""
        with self._changed:
            gone = [s for line in self._callers.values() for s in line if s.cancelled]
            if gone:
                for caller, line in list(self._callers.items()):
                    kept = deque(s for s in line if not s.cancelled)
                    if kept:
                        self._callers[caller] = kept
                    else:
                        del self._callers[caller]
                self._length -= len(gone)
            return gone

    def wake(self) -> None:
        """Let `wait` return: something other than a push happened."""
        with self._changed:
            self._woken = True  # remembered, for a thread that is only about to wait
            self._changed.notify()

    def wait(self) -> None:
        """Sleep until there may be something to do; returns at once when there is, or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._length or self._closed or self._woken)
            self._woken = False

    def close(self) -> list[Sequence]:
        """Refuse every later push; gives what was still waiting."""
        with self._changed:
            self._closed = True
            left = [s for line in self._callers.values() for s in line]
            self._callers.clear()
            self._length = 0
            self._changed.notify_all()
            return left
