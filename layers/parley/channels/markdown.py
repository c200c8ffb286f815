"""Cuts Markdown into pieces that fit a platform's messages, at the places where a reader would cut it.

Knows no platform: the caller says how long a piece is once the platform has it, after conversion.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

from parley.channels.blocks import is_blank
from parley.channels.characters import is_boundary
from parley.channels.fences import Fence, fences

Measure = Callable[[str], int]

_PARAGRAPH = re.compile(r"\n(?:[ \t]*\n)+")
_LINE = re.compile(r"\n")
# Chinese and Japanese sentences end without a space; Western ones only count as ended before one (3.14, e.g.x).
_SENTENCE = re.compile(r"[。！？；…]+[”’」』）》\"')\]*]*|[.!?]+[\"'”’)\]*_]*\s")
_WORD = re.compile(r"\s|[，、：；。！？）」』》]")
# Short things that mean nothing in halves: links, code and emphasis within one line.
_WHOLE = re.compile(
    r"!?\[[^\[\]\n]{0,300}\]\([^()\s]{0,1000}\)|(?<!`)`[^`\n]{1,300}`(?!`)|\*\*[^*\n]{1,300}\*\*|~~[^~\n]{1,300}~~"
)
_COARSE_TO_FINE = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)

WELL_FILLED = 1 / 4
"""A cut at a coarse place is taken when it fills at least this part of a piece; otherwise a finer place is sought."""

REACH = 4
"""A piece is sought in this many times `limit` characters of source: what a conversion drops (marks, addresses) may
make a piece shorter than its source, and looking further costs time on every piece."""

NOTHING = "…"
"""What goes out where an answer has nothing to show: platforms refuse an empty message, and silence looks broken."""


def pieces(text: str, limit: int, measure: Measure) -> list[str]:
    """What to send for an answer: `split` without the pieces that would show nothing; never empty."""
    return [piece for piece in split(text, limit, measure) if not is_blank(piece)] or [NOTHING]


def split(text: str, limit: int, measure: Measure) -> list[str]:
    """The text in pieces, each with `measure(piece) <= limit`; none for a text of white space.

    Cuts after paragraphs, else lines, sentences, words, characters. Code that is cut is closed in one piece and
    reopened, info string and all, in the next. Only white space between pieces is lost. A piece is over the limit only
    where a single character, with the fence around it, already is.
    """
    return list(_Splitter(text.replace("\r\n", "\n").replace("\r", "\n"), limit, measure).pieces())


class _Splitter:
    """One text on its way into pieces; offsets are into `text`."""

    def __init__(self, text: str, limit: int, measure: Measure) -> None:
        self._text = text
        self._limit = limit
        self._measure = measure
        self._fences = fences(text)
        self._starts = [fence.start for fence in self._fences]
        self._reopened = [self._leaves_room(fence) for fence in self._fences]
        self._whole = sorted(self._unbreakable())
        self._whole_starts = [start for start, _ in self._whole]

    def pieces(self) -> Iterator[str]:
        start = 0
        while start < len(self._text):
            cut = self._cut_after(start)
            piece = self._piece(start, cut)
            if piece:
                yield piece
            start = cut

    def _cut_after(self, start: int) -> int:
        """Where the piece that begins at `start` ends."""
        reach = min(len(self._text), start + REACH * self._limit)
        if reach == len(self._text) and self._fits(start, reach):
            return reach
        best = start
        for level in _COARSE_TO_FINE:
            best = max(best, self._furthest(start, self._places(level, start, reach)))
            if best > start and self._length(start, best) >= self._limit * WELL_FILLED:
                return best
        clusters = [at for at in range(start + 1, reach + 1) if is_boundary(self._text, at)]
        best = max(best, self._furthest(start, [at for at in clusters if self._breakable(at)]))
        if best > start:
            return best
        # Nothing but a cut through a link, a fence's line or a character is left.
        return self._furthest(start, clusters) or self._furthest(start, range(start + 1, reach + 1)) or start + 1

    def _places(self, level: re.Pattern[str], start: int, reach: int) -> list[int]:
        """Where a piece may end at this level, in order."""
        ends = (match.end() for match in level.finditer(self._text, start, reach))
        places = [at for at in ends if at > start and self._breakable(at) and is_boundary(self._text, at)]
        if level is _PARAGRAPH:  # blank lines in code are no paragraphs
            return [at for at in places if self._fence_at(at) is None]
        return places

    def _furthest(self, start: int, places: list[int] | range) -> int:
        """The last of the places with which the piece fits; 0 when it fits with none.

        Bisects, though a conversion may make a longer source shorter: what comes back has been measured to fit.
        """
        fitting, low, high = 0, 0, len(places)
        while low < high:
            middle = (low + high) // 2
            if self._fits(start, places[middle]):
                fitting, low = places[middle], middle + 1
            else:
                high = middle
        return fitting

    def _fits(self, start: int, cut: int) -> bool:
        return self._length(start, cut) <= self._limit

    def _length(self, start: int, cut: int) -> int:
        return self._measure(self._piece(start, cut))

    def _piece(self, start: int, cut: int) -> str:
        """The text from `start` to `cut` as a message of its own: code reopened and closed, white space trimmed."""
        body = self._text[start:cut]
        before, after = self._fence_at(start), self._fence_at(cut)
        if before is None:
            at_line_start = start == 0 or self._text[start - 1] == "\n"
            body = body.lstrip("\n") if at_line_start else body.lstrip()
        if not body.strip():
            return ""
        head = before.opening_line if before else ""
        if after is None:
            return head + body.rstrip()
        return head + body.removesuffix("\n") + "\n" + after.closing_line

    def _fence_at(self, position: int) -> Fence | None:
        """The code block within which `position` lies, when it is one that can be closed and reopened there."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return None
        fence = self._fences[index]
        return fence if self._reopened[index] and fence.content <= position < fence.close else None

    def _leaves_room(self, fence: Fence) -> bool:
        """Whether reopening the block leaves room for code: with an absurd info string it may not."""
        return self._measure(f"{fence.opening_line}x\n{fence.closing_line}") <= self._limit / 2

    def _breakable(self, position: int) -> bool:
        index = bisect_right(self._whole_starts, position - 1) - 1
        return index < 0 or position >= self._whole[index][1]

    def _unbreakable(self) -> Iterator[tuple[int, int]]:
        """Stretches, as (start, end), inside which there is no cut while there is another choice."""
        for fence in self._fences:
            # A cut before the first or after the last character of code would leave a block without code behind.
            code = self._text[fence.content : fence.close]
            yield fence.start, fence.content + len(code) - len(code.lstrip()) + 1
            if fence.close < fence.end:
                yield max(fence.content, fence.content + len(code.rstrip()) - 1), fence.end
        for match in _WHOLE.finditer(self._text):
            inside = bisect_right(self._starts, match.start()) - 1
            if inside < 0 or match.start() >= self._fences[inside].end:
                yield match.start(), match.end()
