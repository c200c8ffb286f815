"""The loop's one step: who joins, who decodes, who leaves. Continuous batching over rows of a `Runner`.

Rows 0..n-1 are the running sequences; one that leaves is replaced by the last, so that a decode reads one block.
Knows nothing of threads, text or HTTP.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch

from engine.prefixes import PrefixStore, common
from engine.runner import Runner
from engine.sampling import sample
from engine.sequence import Finish, Sampled, Sequence
from engine.stats import Stats
from engine.waiting import WaitingQueue

log = logging.getLogger("parley.engine")

SHORT = 64
"""Prompts, or what is left of them, of at most so many tokens are read several at once: a forward of 24 tokens costs
nearly what one of 48 does, one of 275 costs half of one of 550."""

MOST_TOGETHER = 8
"""More would gain little, and each one's last logits are taken from a table as large as their number squared."""

LEAST_PIECE = 64
"""A long prompt is not begun for fewer tokens than this."""


@dataclass(frozen=True)
class Capacity:
    """Bounds of the batch: `rows` at most, and `tokens` of padded key and value memory over all of them."""

    rows: int
    tokens: int


class Scheduler:
    """Owns the running sequences and the rows they live in; `step()` is called by one thread only."""

    def __init__(
        self, runner: Runner, capacity: Capacity, waiting: WaitingQueue, prefixes: PrefixStore, stats: Stats
    ) -> None:
        self.runner = runner
        self.capacity = capacity
        self.waiting = waiting
        self.prefixes = prefixes
        self.stats = stats
        self.running: list[Sequence] = []
        self.reading: Sequence | None = None
        """A long prompt of which some pieces are read; its row is the one behind the running ones."""
        self._rows = 0
        self._length = 0

    @property
    def busy(self) -> bool:
        """True while a step would do something."""
        return bool(self.holding) or len(self.waiting) > 0

    @property
    def holding(self) -> list[Sequence]:
        """All that hold a row: the running ones, then the one that is being read."""
        return [*self.running, self.reading] if self.reading else self.running

    @property
    def reserved(self) -> int:
        """Tokens of memory that sequences with a row have been promised, padding included."""
        return len(self.holding) * max((s.most_tokens for s in self.holding), default=0)

    def step(self) -> None:
        """Drop who was cancelled, read prompts for a bounded time, then one token for everyone."""
        self._drop_cancelled()
        self._read()
        if self.running:
            self._decode()
        self.stats.steps += 1

    def _drop_cancelled(self) -> None:
        for sequence in self.waiting.take_cancelled():
            self._finish(sequence, Finish.CANCELLED)
        for sequence in [s for s in self.running if s.cancelled]:
            self._leave(sequence, Finish.CANCELLED)
        if self.reading is not None and self.reading.cancelled:
            self._stop_reading(Finish.CANCELLED)

    def _read(self) -> None:
        """Prompts in the order of the queue, as many tokens as a step may read: who decodes waits no longer."""
        left = self.runner.prompt_tokens or 1
        if self.reading is not None:
            left -= self._read_on(self.reading, left)
        together: list[Sequence] = []
        while left > 0 and self.reading is None and (sequence := self._next(together)):
            if len(together) == MOST_TOGETHER or self._shares(sequence, together):
                self._join(together)
                together = []
            if not self._place(sequence, [*self.running, *together]):
                continue
            rest = len(sequence.prompt) - sequence.read
            if self.runner.prompt_tokens and sequence.pictures is None and rest <= SHORT:
                together.append(sequence)
                left -= rest
                continue
            self._join(together)
            together = []
            sequence.row, self.reading = len(self.running), sequence
            left -= self._read_on(sequence, max(left, LEAST_PIECE))
        self._join(together)

    def _next(self, together: list[Sequence]) -> Sequence | None:
        """The next waiting sequence if it fits beside all that have a row or are given one now.

        No one overtakes: a large request is not starved.
        """
        sequence = self.waiting.peek()
        return self.waiting.pop() if sequence is not None and self._fits([*self.running, *together, sequence]) else None

    def _shares(self, sequence: Sequence, together: list[Sequence]) -> bool:
        """True if what one of them is about to compute can be copied by this sequence."""
        return any(self.prefixes.wants(common(other.keys, sequence.keys)) for other in together)

    def _fits(self, sequences: list[Sequence]) -> bool:
        rows, longest = len(sequences), max(s.most_tokens for s in sequences)
        return rows <= self.capacity.rows and rows * longest <= self.capacity.tokens

    def _place(self, sequence: Sequence, others: list[Sequence]) -> bool:
        """Give a sequence the row behind the others', and what one of them has computed of its beginning.

        False if that failed.
        """
        row = len(others)
        try:
            self._make_room([*others, sequence])
            sequence.read = sequence.reused = self._reuse(sequence, row)
        except Exception as error:
            log.error("making room for a prompt failed: %s", type(error).__name__, exc_info=error)
            self._finish(sequence, Finish.ERROR, _failed(error))
            raise_if_fatal(error)
            return False
        sequence.row = row
        self.stats.prefills += 1
        self.stats.tokens_in += len(sequence.prompt)
        self.stats.reused += sequence.reused
        self.stats.prefix_lookups += self.prefixes.budget > 0
        self.stats.prefix_hits += sequence.reused > 0
        return True

    def _make_room(self, sequences: list[Sequence]) -> None:
        rows, longest = len(sequences), max(s.most_tokens for s in sequences)
        if rows <= self._rows and longest <= self._length:
            return
        # Rows double, so that a growing batch does not move its memory each time; but never past the capacity.
        ahead = min(self.capacity.rows, max(rows, 2 * self._rows))
        if ahead * max(longest, self._length) <= self.capacity.tokens:
            rows, longest = ahead, max(longest, self._length)
        self._rows = self._length = 0  # until it is done: one that ran out of memory half-way is done again
        self.runner.reserve(rows, longest, len(sequences) - 1)
        self._rows, self._length = rows, longest

    def _join(self, sequences: list[Sequence]) -> None:
        """Read the rest of short prompts together, and let them run."""
        if not sequences:
            return
        begun = time.monotonic()
        self.running += sequences
        try:
            self.runner.select([s.adapter for s in sequences])
            rests = [s.prompt[s.read :] for s in sequences]
            if len(sequences) == 1:
                logits = self.runner.prefill(len(self.running) - 1, rests[0], sequences[0].read)
            else:
                logits = self.runner.prefill_rows(
                    len(self.running) - len(sequences), rests, [s.read for s in sequences]
                )
            chosen = sample(sequences, logits)
        except Exception as error:
            del self.running[-len(sequences) :]
            self._join_failed(sequences, error)
            return
        share = (time.monotonic() - begun) / len(sequences)
        for sequence in sequences:
            sequence.read = len(sequence.prompt)
            sequence.computed += share
        self._deliver(sequences, chosen)

    def _join_failed(self, sequences: list[Sequence], error: Exception) -> None:
        """One of them is at fault: each is tried alone, and who fails alone ends."""
        if isinstance(error, torch.AcceleratorError):
            self.running += sequences  # the engine tells all who hold a row
            raise error
        log.error("reading %d prompts failed: %s", len(sequences), type(error).__name__, exc_info=error)
        if len(sequences) == 1:
            self._finish(sequences[0], Finish.ERROR, _failed(error))
            self.runner.clear(len(self.running))
            return
        for sequence in sequences:
            assert sequence.row is not None
            if sequence.row != len(self.running):
                self.runner.move(sequence.row, len(self.running), sequence.read)
                sequence.row = len(self.running)
            self._join([sequence])

    def _read_on(self, sequence: Sequence, most: int) -> int:
        """Read on in the long prompt, and let it run when it is whole; how many tokens that took."""
        rest = len(sequence.prompt) - sequence.read
        whole = self.runner.prompt_tokens is None or sequence.pictures is not None
        count = rest if whole else min(rest, most)
        begun = time.monotonic()
        row = len(self.running)
        try:
            self.runner.select([sequence.adapter])
            piece = sequence.prompt[sequence.read : sequence.read + count]
            more = () if sequence.pictures is None else (sequence.pictures.after(sequence.read),)
            logits = self.runner.prefill(row, piece, sequence.read, *more)
            sequence.read += count
            chosen = sample([sequence], logits) if count == rest else None
        except Exception as error:
            raise_if_fatal(error)
            log.error("a prefill failed: %s", type(error).__name__, exc_info=error)
            self._stop_reading(Finish.ERROR, _failed(error))
            return count
        sequence.computed += time.monotonic() - begun
        if chosen is not None:
            self.reading = None
            self.running.append(sequence)
            self._deliver([sequence], chosen)
        return count

    def _stop_reading(self, reason: Finish, error: str | None = None) -> None:
        """The prompt that is being read ends before it ran."""
        assert self.reading is not None
        sequence, self.reading = self.reading, None
        sequence.row = None
        self._finish(sequence, reason, error)
        if reason is Finish.ERROR:
            self.runner.clear(len(self.running))

    def _reuse(self, sequence: Sequence, row: int) -> int:
        if not self.prefixes.budget:
            return 0
        shared, copy = self.prefixes.longest(sequence.keys)
        shared = sequence.reusable(shared)
        best = max(self.running, key=lambda s: common(s.keys, sequence.keys), default=None)
        if best is not None and best.row is not None:
            alive = sequence.reusable(min(common(best.keys, sequence.keys), len(sequence.prompt) - 1))
            if self.prefixes.wants(alive) and alive > shared:
                self.runner.move(best.row, row, alive)
                return alive
        if shared:
            self.runner.copy_in(row, copy, shared)
        return shared

    def _decode(self) -> None:
        batch = list(self.running)
        begun = time.monotonic()
        try:
            self.runner.select([s.adapter for s in batch])
            logits = self.runner.decode(0, [s.output[-1] for s in batch], [s.stored for s in batch])
            chosen = sample(batch, logits)
        except Exception as error:
            raise_if_fatal(error)
            log.error("a decode of %d rows failed, trying one by one", len(batch), exc_info=error)
            chosen = [self._decode_alone(sequence) for sequence in batch]
        share = (time.monotonic() - begun) / len(batch)
        for sequence in batch:
            sequence.computed += share
        self._deliver(batch, chosen)

    def _decode_alone(self, sequence: Sequence) -> Sampled | None:
        """The next token of one row by itself: writing a position twice does no harm, so a retry is safe."""
        assert sequence.row is not None
        try:
            self.runner.select([sequence.adapter])
            logits = self.runner.decode(sequence.row, [sequence.output[-1]], [sequence.stored])
            return sample([sequence], logits)[0]
        except Exception as error:
            raise_if_fatal(error)
            log.error("a decode of one row failed: %s", type(error).__name__, exc_info=error)
            return None

    def _deliver(self, batch: list[Sequence], chosen: list[Sampled | None]) -> None:
        """Hand every token over, then let go who is done: rows may only move once all tokens are accounted for."""
        ends = [self._hand_over(sequence, token) for sequence, token in zip(batch, chosen, strict=True)]
        for sequence, end in zip(batch, ends, strict=True):
            if end is not None:
                self._leave(sequence, *end)

    def _hand_over(self, sequence: Sequence, chosen: Sampled | None) -> tuple[Finish, str | None] | None:
        """Give a sequence its token; why it ends, if this was its last."""
        if chosen is None:
            return Finish.ERROR, "The model gave no usable logits (NaN or infinite) for this request."
        sequence.append(chosen.token)
        self.stats.tokens_out += 1
        if sequence.first_token_at is None:
            sequence.first_token_at = time.monotonic()
            self.stats.first_token.observe(sequence.first_token_at - sequence.arrived)
        try:
            stop = sequence.listener.on_token(chosen) or chosen.token in sequence.stop_ids
            if not stop and sequence.constraint is not None:
                stop = sequence.constraint.accept(chosen.token)
        except Exception as error:
            log.error("a listener failed: %s", type(error).__name__, exc_info=error)
            return Finish.ERROR, f"Reading the output failed ({type(error).__name__})."
        if stop:
            return Finish.STOP, None
        return (Finish.LENGTH, None) if len(sequence.output) >= sequence.limit else None

    def _leave(self, sequence: Sequence, reason: Finish, error: str | None = None) -> None:
        """Tell the listener and free the sequence's row: the last row takes its place."""
        row = sequence.row
        assert row is not None
        self._finish(sequence, reason, error)
        if reason is Finish.ERROR:
            self.runner.clear(row)
        elif self.prefixes.wants(sequence.stored):
            self.prefixes.keep(sequence.stored_keys, self.runner.copy_out(row, sequence.stored))
        last = self.running.pop()
        if last is not sequence:
            self.runner.move(len(self.running), row, last.stored)
            last.row = row
            self.running[row] = last
        if self.reading is not None:
            self.runner.move(len(self.running) + 1, len(self.running), self.reading.read)
            self.reading.row = len(self.running)
        sequence.row = None

    def _finish(self, sequence: Sequence, reason: Finish, error: str | None = None) -> None:
        sequence.finished = reason
        self.stats.finished[reason.value] = self.stats.finished.get(reason.value, 0) + 1
        self.stats.faults += reason is Finish.ERROR
        if sequence.first_token_at is not None and len(sequence.output) > 1:
            spent = time.monotonic() - sequence.first_token_at
            self.stats.per_token.observe(spent / (len(sequence.output) - 1))
        try:
            sequence.listener.on_finish(reason, error)
        except Exception as failure:
            log.error("a listener failed at the end: %s", type(failure).__name__, exc_info=failure)


def _failed(error: Exception) -> str:
    return f"The model failed on this prompt ({type(error).__name__})."


def raise_if_fatal(error: Exception) -> None:
    """Pass on what no later step can survive: a broken accelerator context fails everything after it."""
    if isinstance(error, torch.AcceleratorError):
        raise error
