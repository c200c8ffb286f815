"""Reads the inline part of Markdown: emphasis, code, links, escapes. Comes out flat: marks open and close in order.

Follows CommonMark's algorithm with three liberties that chat needs: emphasis may touch Chinese without spaces around it
(CommonMark leaves the asterisks standing in `**注意：**请`), `2*3*4` is a product and no emphasis, and entities such as
`&amp;` stay as they are written.
Time grows linearly with the text, whatever a model writes. Knows no platform.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["bold", "italic", "strike"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, escapes resolved."""

    text: str


@dataclass(frozen=True, slots=True)
class CodeSpan:
    """Code within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link or an image; the label is never empty, and as plain as the address where there was none."""

    label: tuple[Span, ...]
    url: str


@dataclass(frozen=True, slots=True)
class Open:
    """Emphasis begins; a `Close` of the same mark follows, and what begins between ends between."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Close:
    """Emphasis ends."""

    mark: Mark


Span = Text | CodeSpan | Link | Open | Close

_TOKEN = re.compile(
    r"\\(?P<escaped>[!-/:-@\[-`{-~\n])|(?P<ticks>`+)|(?P<run>\*+|_+|~+)|!?(?P<bracket>\[)"
    r"|<(?P<auto>(?:https?://|mailto:)[^\s<>]+)>|(?P<bare>https?://[^\s<>`*\[\]]+)"
    r"|(?P<text>(?:(?!https?://)[^\\`*_~!\[<])+|.)",
    re.DOTALL,
)
_TARGET = re.compile(
    r"\([ \t]{0,9}(?:<(?P<angled>[^<>\n]*)>|(?P<plain>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))"
    r"(?:\s{1,9}(?:\"[^\"]{0,500}\"|'[^']{0,500}'))?[ \t]{0,9}\)"
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_BRACKETS = re.compile(r"\\.|`+|[\[\]]", re.DOTALL)


def spans(text: str, links: bool = True) -> list[Span]:
    """The inline content of one run of text; with `links=False`, as in a link's label, links are plain text."""
    tokens = list(_tokens(text, links))
    _pair([token for token in tokens if isinstance(token, _Run)])
    found: list[Span] = []
    for token in tokens:
        for span in token.spans() if isinstance(token, _Run) else (token,):
            if isinstance(span, Text) and found and isinstance(found[-1], Text):
                found[-1] = Text(found[-1].text + span.text)
            else:
                found.append(span)
    return found


def plain(content: Iterable[Span]) -> str:
    """What a reader sees of inline content, without its marks; of a link its label."""
    return "".join(
        plain(span.label) if isinstance(span, Link) else span.text
        for span in content
        if not isinstance(span, Open | Close)
    )


@dataclass(slots=True)
class _Run:
    """A run of one emphasis character: what is left of it, and the marks that have been made from it."""

    character: str
    length: int
    left: int
    can_open: bool
    can_close: bool
    opened: list[Mark] = field(default_factory=list)
    closed: list[Mark] = field(default_factory=list)

    def spans(self) -> Iterator[Span]:
        yield from map(Close, self.closed)
        if self.left:
            yield Text(self.character * self.left)
        yield from map(Open, reversed(self.opened))  # the first pair found is the innermost


def _tokens(text: str, links: bool) -> Iterator[Span | _Run]:
    code = _CodeSpans(text)
    partners = _bracket_partners(text, code) if "](" in text else {}
    at = 0
    while token := _TOKEN.match(text, at):  # matches until the text ends: its last alternative takes any character
        kind, at = token.lastgroup, token.end()
        if kind == "escaped":
            yield Text(token["escaped"])
        elif kind == "ticks" and (closed := code.closing(token.start(), token.end())):
            yield CodeSpan(_code(text[token.end() : closed - len(token["ticks"])]))
            at = closed
        elif kind == "run":
            yield _run(text, token)
        elif kind == "bracket" and (target := _target(text, token.end() - 1, partners)) and (links or token[0] == "!["):
            label, url, at = target
            # A picture within a link's label, as badges are, is text there: links do not nest.
            yield Link(tuple(spans(label, links=False)), url) if links else Text(label)
        elif kind == "auto" and links:
            yield Link((Text(token["auto"].removeprefix("mailto:")),), token["auto"])
        else:
            yield Text(token[0])


def _code(text: str) -> str:
    """What a code span shows: line ends as spaces, one space of padding off on both sides."""
    text = text.replace("\n", " ")
    if text.startswith(" ") and text.endswith(" ") and text.strip():
        return text[1:-1]
    return text


class _CodeSpans:
    """Finds where a run of backticks is closed by the next run of the same length."""

    def __init__(self, text: str) -> None:
        self._starts: dict[int, list[int]] = defaultdict(list)
        for run in re.finditer("`+", text) if "`" in text else ():
            self._starts[run.end() - run.start()].append(run.start())

    def closing(self, start: int, end: int) -> int | None:
        """The end of the closing run for the run of backticks from `start` to `end`."""
        starts = self._starts.get(end - start, [])
        index = bisect_left(starts, end)
        return starts[index] + (end - start) if index < len(starts) else None


def _bracket_partners(text: str, code: _CodeSpans) -> dict[int, int]:
    """For every `[` outside code, the `]` that closes it."""
    partners: dict[int, int] = {}
    unclosed: list[int] = []
    at = 0
    while found := _BRACKETS.search(text, at):
        at = found.end()
        if found[0] == "[":
            unclosed.append(found.start())
        elif found[0] == "]":
            if unclosed:
                partners[unclosed.pop()] = found.start()
        elif found[0][0] == "`":
            at = code.closing(found.start(), found.end()) or at
    return partners


def _target(text: str, start: int, partners: dict[int, int]) -> tuple[str, str, int] | None:
    """Label and address of the link whose label opens at `start`, and where the text goes on; None if it is none."""
    end = partners.get(start)
    if end is None or not (target := _TARGET.match(text, end + 1)):
        return None
    angled = target["angled"]
    url = _ESCAPE.sub(r"\1", target["plain"] if angled is None else angled)
    label = text[start + 1 : end]
    return (label if label.strip() else url, url, target.end()) if url else None


def _run(text: str, token: re.Match[str]) -> _Run:
    """A run of emphasis characters, and whether it may open or close emphasis where it stands."""
    before = text[token.start() - 1] if token.start() else " "
    after = text[token.end()] if token.end() < len(text) else " "
    can_open, can_close = not after.isspace(), not before.isspace()
    character, length = token[0][0], len(token[0])
    if character == "_":  # snake_case is no emphasis
        can_open, can_close = can_open and not before.isalnum(), can_close and not after.isalnum()
    elif character == "*" and length == 1 and before.isdigit() and after.isdigit():
        can_open = can_close = False
    elif character == "*":
        # Where punctuation stands inside, as in `*(a)*`, an ASCII word outside keeps it from being emphasis. Only
        # ASCII: Chinese emphasis ends with its own punctuation in the middle of a sentence.
        can_open, can_close = can_open and not _barred(before, after), can_close and not _barred(after, before)
    elif character == "~" and length != 2:  # one tilde means "about"
        can_open = can_close = False
    return _Run(character, length, length, can_open, can_close)


def _barred(outside: str, inside: str) -> bool:
    """Whether emphasis can neither begin nor end between these two: CommonMark's rule, for ASCII alone."""
    return outside.isalnum() and outside.isascii() and inside.isascii() and not inside.isalnum()


def _pair(runs: list[_Run]) -> None:
    """Match runs that close with runs that opened before them; CommonMark 0.31, "process emphasis"."""
    unclosed: list[_Run] = []
    floor: dict[tuple[str, bool, int], int] = {}
    for run in runs:
        while run.can_close and run.left:
            key = (run.character, run.can_open, run.length % 3)
            index = _opener(unclosed, run, floor.get(key, 0))
            if index is None:
                floor[key] = len(unclosed)
                break
            _close(unclosed, index, run)
            floor = {kind: min(depth, len(unclosed)) for kind, depth in floor.items()}
        if run.can_open and run.left:
            unclosed.append(run)


def _opener(unclosed: list[_Run], closer: _Run, floor: int) -> int | None:
    """Index of the nearest run, not below `floor`, that `closer` closes."""
    for index in range(len(unclosed) - 1, floor - 1, -1):
        opener = unclosed[index]
        both_ways = opener.can_close or closer.can_open
        odd = both_ways and (opener.length + closer.length) % 3 == 0 and (opener.length % 3 or closer.length % 3)
        if opener.character == closer.character and not odd:
            return index
    return None


def _close(unclosed: list[_Run], index: int, closer: _Run) -> None:
    """Make one mark between two runs; what was opened between them stays plain text."""
    opener = unclosed[index]
    size = 2 if opener.left >= 2 and closer.left >= 2 else 1
    mark: Mark = "strike" if opener.character == "~" else "bold" if size == 2 else "italic"
    opener.opened.append(mark)
    closer.closed.append(mark)
    opener.left -= size
    closer.left -= size
    del unclosed[index + 1 if opener.left else index :]
