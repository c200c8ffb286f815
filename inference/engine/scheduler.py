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

PREFILLS_A_STEP = 2
"""More would make those who are decoding wait; fewer would leave rows empty while others queue."""


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
        self._rows = 0
        self._length = 0

    @property
    def busy(self) -> bool:
        """True while a step would do something."""
        return bool(self.running) or len(self.waiting) > 0

    @property
    def reserved(self) -> int:
        """Tokens of memory that the running sequences have been promised, padding included."""
        return len(self.running) * max((s.most_tokens for s in self.running), default=0)

    def step(self) -> None:
        """Drop who was cancelled, let at most two join, then one token for everyone."""
        self._drop_cancelled()
        for _ in range(PREFILLS_A_STEP):
            if not self._admit():
                break
        if self.running:
            self._decode()
        self.stats.steps += 1

    def _drop_cancelled(self) -> None:
        for sequence in self.waiting.take_cancelled():
            self._finish(sequence, Finish.CANCELLED)
        for sequence in [s for s in self.running if s.cancelled]:
            self._leave(sequence, Finish.CANCELLED)

    def _admit(self) -> bool:
        """Prefill the next waiting sequence if it fits. No one overtakes: a large request is not starved."""
        sequence = self.waiting.peek()
        if sequence is None or not self._fits(sequence):
            return False
        sequence = self.waiting.pop()
        row = sequence.row = len(self.running)
        begun = time.monotonic()
        try:
            self._make_room(sequence)
            logits = self._prefill(sequence, row)
            chosen = sample([sequence], logits)
            sequence.computed += time.monotonic() - begun
        except Exception as error:
            self._fail_before_joining(sequence, error)
            return True
        self.running.append(sequence)
        self._deliver([sequence], chosen)
        return True

    def _fits(self, sequence: Sequence) -> bool:
        rows = len(self.running) + 1
        longest = max([sequence.most_tokens, *(s.most_tokens for s in self.running)])
        return rows <= self.capacity.rows and rows * longest <= self.capacity.tokens

    def _make_room(self, sequence: Sequence) -> None:
        rows = len(self.running) + 1
        longest = max([sequence.most_tokens, *(s.most_tokens for s in self.running)])
        if rows <= self._rows and longest <= self._length:
            return
        # Rows double, so that a growing batch does not move its memory each time; but never past the capacity.
        ahead = min(self.capacity.rows, max(rows, 2 * self._rows))
        if ahead * max(longest, self._length) <= self.capacity.tokens:
            rows, longest = ahead, max(longest, self._length)
        self._rows = self._length = 0  # until it is done: one that ran out of memory half-way is done again
        self.runner.reserve(rows, longest, len(self.running))
        self._rows, self._length = rows, longest

    def _prefill(self, sequence: Sequence, row: int) -> torch.Tensor:
        """The prompt's last logits; what another sequence has computed of its beginning is copied."""
        sequence.reused = self._reuse(sequence, row)
        self.stats.prefills += 1
        self.stats.tokens_in += len(sequence.prompt)
        self.stats.reused += sequence.reused
        self.stats.prefix_lookups += self.prefixes.budget > 0
        self.stats.prefix_hits += sequence.reused > 0
        self.runner.select([sequence.adapter])
        rest = sequence.prompt[sequence.reused :]
        if sequence.pictures is None:
            return self.runner.prefill(row, rest, sequence.reused)
        return self.runner.prefill(row, rest, sequence.reused, sequence.pictures.after(sequence.reused))

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

    def _fail_before_joining(self, sequence: Sequence, error: Exception) -> None:
        log.error("a prefill failed: %s", type(error).__name__, exc_info=error)
        self._finish(sequence, Finish.ERROR, f"The model failed on this prompt ({type(error).__name__}).")
        raise_if_fatal(error)
        if self._rows > len(self.running):
            self.runner.clear(len(self.running))

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


def raise_if_fatal(error: Exception) -> None:
    """Pass on what no later step can survive: a broken accelerator context fails everything after it."""
    if isinstance(error, torch.AcceleratorError):
        raise error
