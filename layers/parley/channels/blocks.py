"""Reads Markdown as a list of blocks: code, and lines of text with what marks them. Knows no platform.

Covers what models write in chat: paragraphs, headings with `#`, lists, task lists, quotes, rules, tables, fenced code.
Lists and quotes stay lines, as chat platforms show them; tables become code, whose columns line up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parley.channels.fences import Fence, fences
from parley.channels.spans import Close, Open, Span, Text, plain, spans

_QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+")
_HEADING = re.compile(r"[ ]{0,3}#{1,6}[ \t]+(?=\S)")
_RULE = re.compile(r"[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_ITEM = re.compile(r"([ \t]*)[-*+][ \t]+(?:\[([ xX])\][ \t]+)?(?=\S)")
_NUMBERED = re.compile(r"[ \t]*[0-9]{1,9}[.)][ \t]+(?=\S)")
_COLUMN = re.compile(r":?-+:?")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")

RULE = "—" * 10


@dataclass(frozen=True, slots=True)
class Code:
    """Code as it stands between its fences, without the last line end; `language` is empty when there is none."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that begins a line: a paragraph, a heading, a list's item; `lead` is its indentation and bullet."""

    content: tuple[Span, ...]
    lead: str = ""
    quoted: bool = False


Block = Code | Lines


def blocks(markdown: str) -> list[Block]:
    """The blocks of a text in order; an empty line is a `Lines` without content."""
    text = markdown.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    found: list[Block] = []
    at = 0
    for fence in fences(text):
        found.extend(_prose(text[at : fence.start].removesuffix("\n"), before_code=fence.start > at))
        found.append(_code(text, fence))
        at = fence.end
    found.extend(_prose(text[at:], before_code=at < len(text)))
    return found


def is_blank(markdown: str) -> bool:
    """Whether nothing of a text would show: white space alone, or code without a character."""
    shown = (block.text if isinstance(block, Code) else plain(block.content) for block in blocks(markdown))
    return not any(text.strip() for text in shown)


def _code(text: str, fence: Fence) -> Code:
    """A block of code without its fences, and without the indentation and quote signs that stand before them."""
    lines = text[fence.content : fence.close].removesuffix("\n").split("\n")
    language = _LANGUAGE.match(fence.info)
    return Code("\n".join(_without_lead(line, fence) for line in lines), language[0] if language else "")


def _without_lead(line: str, fence: Fence) -> str:
    if fence.quoted:
        quote = _QUOTE.match(line)
        return line[quote.end() :] if quote else line
    indentation = len(line) - len(line.lstrip(" \t"))
    return line[min(indentation, len(fence.lead)) :]


def _prose(text: str, before_code: bool) -> Iterator[Block]:
    """The blocks of a stretch without fenced code; nothing where there is no stretch."""
    if not before_code:
        return
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = _table_end(lines, at)
        if end > at:
            yield Code("\n".join(line.strip() for line in lines[at:end]))
        else:
            end = _paragraph_end(lines, at)
            yield _lines(lines[at:end])
        at = end


def _table_end(lines: list[str], at: int) -> int:
    """The first line after the table that begins at `at`; `at` itself when none does."""
    if at + 1 >= len(lines) or "|" not in lines[at] or "|" not in lines[at + 1]:
        return at
    columns = lines[at + 1].strip().removeprefix("|").removesuffix("|").split("|")
    if not all(_COLUMN.fullmatch(column.strip()) for column in columns):
        return at
    end = at + 2
    while end < len(lines) and "|" in lines[end]:
        end += 1
    return end


def _paragraph_end(lines: list[str], at: int) -> int:
    """The first line after the paragraph or item that begins at `at`: what follows it in the same run of text."""
    end = at + 1
    goes_on = _flows(lines[at]) or _ITEM.match(lines[at]) or _NUMBERED.match(lines[at])
    if not goes_on or _RULE.fullmatch(lines[at]):
        return end
    while end < len(lines) and _flows(lines[end]) and _table_end(lines, end) == end:
        end += 1
    return end


def _flows(line: str) -> bool:
    """Whether a line can go on a paragraph."""
    stops = (_QUOTE, _ITEM, _NUMBERED)
    if not line.strip() or any(stop.match(line) for stop in stops):
        return False
    return not _HEADING.match(line) and not _RULE.fullmatch(line)


def _title(heading: str) -> str:
    """A heading's text without the row of `#` that may close it."""
    title = heading.rstrip()
    closed = title.rstrip("#")
    return closed.rstrip() if closed != closed.rstrip() else title


def _lines(lines: list[str]) -> Lines:
    """One paragraph, heading, item, rule, quoted or empty line."""
    first, quoted = lines[0], False
    if quote := _QUOTE.match(first):
        first, quoted = first[quote.end() :], True
    if _RULE.fullmatch(first):
        return Lines((Text(RULE),), quoted=quoted)
    if heading := _HEADING.match(first):
        return Lines((Open("bold"), *spans(_title(first[heading.end() :])), Close("bold")), quoted=quoted)
    lead = ""
    if item := _ITEM.match(first):
        bullet = {" ": "☐", "x": "☑", "X": "☑", None: "•"}[item[2]]
        lead, first = f"{item[1]}{bullet} ", first[item.end() :]
    elif indentation := re.match(r"[ \t]+(?=\S)", first):
        lead, first = indentation[0], first[indentation.end() :]
    run = "\n".join(line.rstrip() for line in (first, *lines[1:]))
    return Lines(tuple(spans(run)), lead, quoted)
