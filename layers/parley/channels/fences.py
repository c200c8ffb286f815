"""Fenced code in Markdown: where each block begins and ends, and the lines that close and reopen it.

Shared by the splitter and the converters, so that both always see the same blocks. Knows no platform.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Looser than CommonMark on purpose: any indentation is taken, since models indent fences under list items at will.
_OPENING = re.compile(
    r"(?P<lead>(?:[ \t]|>|(?:[-*+]|[0-9]{1,9}[.)])[ \t])*)"
    r"(?:(?P<ticks>`{3,})(?P<info>[^`]*)|(?P<tildes>~{3,})(?P<any>.*))"
)
_LIST_MARKER = re.compile(r"[^ \t>]")


@dataclass(frozen=True, slots=True)
class Fence:
    """One block of fenced code, in offsets of its text.

    `start` is where its opening line begins, `content` where its code does, `close` where its closing line does, and
    `end` where the line after that does. A block that is never closed has close == end == the text's length.
    `lead` is what stands before the marker: indentation and quote signs, list markers turned into spaces.
    """

    start: int
    content: int
    close: int
    end: int
    lead: str
    marker: str
    info: str

    @property
    def opening_line(self) -> str:
        """The line that opens this block again."""
        return f"{self.lead}{self.marker}{self.info}\n"

    @property
    def closing_line(self) -> str:
        """The line that closes this block."""
        return f"{self.lead}{self.marker}"

    @property
    def quoted(self) -> bool:
        """Whether the block stands in a quote."""
        return ">" in self.lead


def fences(text: str) -> list[Fence]:
    """The blocks of fenced code in a text whose lines end in "\\n", in order."""
    if "```" not in text and "~~~" not in text:
        return []
    lines, starts = text.split("\n"), [0]
    for line in lines:
        starts.append(min(starts[-1] + len(line) + 1, len(text)))
    found: list[Fence] = []
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        if opening is None:
            at += 1
            continue
        marker = opening["ticks"] or opening["tildes"]
        info = opening["info"] if opening["ticks"] else opening["any"]
        lead = _LIST_MARKER.sub(" ", opening["lead"])
        close, after = _closing(lines, at + 1, lead, marker)
        found.append(Fence(starts[at], starts[at + 1], starts[close], starts[after], lead, marker, info.strip()))
        at = after
    return found


def _closing(lines: list[str], at: int, lead: str, marker: str) -> tuple[int, int]:
    """Which line closes a block whose code begins at line `at`, and which is the first after the block."""
    quoted = ">" in lead
    for number in range(at, len(lines)):
        line = lines[number]
        if quoted and not line.lstrip(" \t").startswith(">"):
            return number, number  # the quote is over, and with it the code in it
        bare = line.lstrip(" \t>" if quoted else " \t").rstrip(" \t")
        if len(bare) >= len(marker) and not bare.strip(marker[0]):
            return number, number + 1
    return len(lines), len(lines)
