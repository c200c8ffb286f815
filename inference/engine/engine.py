"""The one interface to the model: submit sequences, cancel them, ask how it is. Runs the scheduler in its own thread.

Knows nothing of text or HTTP; a listener on each sequence hears of its tokens.
"""

from __future__ import annotations

import logging
import threading

from engine.prefixes import PrefixStore
from engine.runner import Runner
from engine.scheduler import Capacity, Scheduler
from engine.sequence import Finish, Sequence
from engine.stats import Stats
from engine.waiting import WaitingQueue

log = logging.getLogger("parley.engine")


class EngineStopped(Exception):
    """The engine's thread has ended; nothing can be computed any more."""


class Engine:
    """A running model. All methods may be called from any thread.

    `window` is the most tokens of one sequence, prompt and output together; `reuse` the tokens of finished
    sequences whose keys and values stay in memory.
    """

    def __init__(self, runner: Runner, *, window: int, capacity: Capacity, queue_bound: int, reuse: int = 0) -> None:
        self.window = min(window, capacity.tokens)
        self.vocabulary = runner.vocabulary
        self.capacity = capacity
        self.stats = Stats()
        self._waiting = WaitingQueue(queue_bound)
        self._scheduler = Scheduler(runner, capacity, self._waiting, PrefixStore(reuse), self.stats)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to work on what is submitted."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once the thread has ended, by `stop` or by a fault that nothing could survive."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Sequences that hold a row."""
        return len(self._scheduler.holding)

    @property
    def reserved(self) -> int:
        """Tokens of key and value memory promised to running sequences, of `capacity.tokens`."""
        return self._scheduler.reserved

    @property
    def kept(self) -> int:
        """Tokens of finished sequences held for reuse."""
        return self._scheduler.prefixes.tokens

    def submit(self, sequences: list[Sequence]) -> None:
        """Queue all of them, or none.

        Raises QueueFull past the queue's bound, EngineStopped when the thread is gone, and ValueError for what the
        model cannot be fed: an empty prompt, an id outside the vocabulary, more tokens than the window.
        """
        for sequence in sequences:
            self._check(sequence)
        try:
            self._waiting.push(sequences)
        except RuntimeError as error:
            raise EngineStopped("The engine has stopped; restart the server.") from error

    def cancel(self, sequence: Sequence) -> None:
        """Free what the sequence holds before the next step; its listener still hears `on_finish`."""
        sequence.cancelled = True
        self._waiting.wake()

    def stop(self) -> None:
        """End the thread after its current step; what is unfinished ends as cancelled."""
        self._stopping = True
        self._waiting.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _check(self, sequence: Sequence) -> None:
        if not sequence.prompt or sequence.limit < 1:
            raise ValueError("A sequence needs at least one prompt token and one token to generate.")
        if max(sequence.prompt) >= self.vocabulary or min(sequence.prompt) < 0:
            raise ValueError(f"A token id is outside the model's vocabulary of {self.vocabulary}.")
        if sequence.most_tokens > self.window:
            raise ValueError(f"{sequence.most_tokens} tokens are more than the window of {self.window}.")

    def _run(self) -> None:
        reason, error = Finish.CANCELLED, None
        try:
            while not self._stopping:
                if self._scheduler.busy:
                    self._scheduler.step()
                else:
                    self._waiting.wait()
        except BaseException as fault:
            # Past this line the state of the rows is unknown. Whoever asks for /ping learns it, and restarts us.
            log.critical("the engine's thread died: %s", type(fault).__name__, exc_info=fault)
            reason, error = Finish.ERROR, "The engine stopped while it worked on this request."
        finally:
            for sequence in [*self._waiting.close(), *self._scheduler.holding]:
                if sequence.finished is None:
                    sequence.finished = reason
                    sequence.listener.on_finish(reason, error)
