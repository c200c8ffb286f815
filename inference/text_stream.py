"""Token ids to text as they come: never half a character, never past a stop string. Knows nothing of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

BROKEN = "\ufffd"
"""What decoders put for bytes that are no character (yet)."""

HELD = 3
"""Trailing replacement characters held back: an unfinished character has at most three bytes."""

MOST_PENDING = 32
"""Tokens decoded again for context at most; only a model that writes bytes without meaning gets here."""


class TextStream:
    """Text from tokens. `push` gives what is certain so far, `flush` the rest; `stopped` once a stop string was met.

    `decode` turns ids into text; ids in `silent` (end-of-text and other control tokens) are left out of it.
    """

    def __init__(self, decode: Callable[[list[int]], str], silent: frozenset[int], stops: Iterable[str] = ()) -> None:
        self._decode = decode
        self._silent = silent
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._context = 0  # decoding starts here: a token's text may depend on the ones before
        self._read = 0  # tokens up to here are in the text whole
        self._given = 0  # characters of the text from `_context` on that were given out
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The new text that this token makes certain; often "" while a character or a stop string is unfinished."""
        if self.stopped or token in self._silent:
            return ""
        self._ids.append(token)
        return self._past_stops(self._new_text())

    def flush(self) -> str:
        """What was held back in case a stop string followed. An unfinished character is dropped."""
        if self.stopped:
            return ""
        text = self._decode(self._ids[self._context :]).rstrip(BROKEN)[self._given :]
        left, self._held = self._past_stops(text) + self._held, ""
        return left

    def _new_text(self) -> str:
        text = self._decode(self._ids[self._context :])
        tail = len(text) - len(text.rstrip(BROKEN))
        sure = text[: len(text) - min(tail, HELD)]
        new = sure[self._given :]
        self._given = max(self._given, len(sure))
        if not tail:
            self._context, self._read = self._read, len(self._ids)
            self._given = len(self._decode(self._ids[self._context : self._read]))
            # The window holds the last whole piece as context only: all of it was given.
        elif len(self._ids) - self._context > MOST_PENDING:
            new = text[len(sure) - len(new) :]
            self._context = self._read = len(self._ids)
            self._given = 0
        return new

    def _past_stops(self, new: str) -> str:
        if not self._stops:
            return new
        text = self._held + new
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)[0]]
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """How many of the text's last characters could be the beginning of the stop string."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
