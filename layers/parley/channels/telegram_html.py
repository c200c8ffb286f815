"""Standard Markdown as the HTML that Telegram's Bot API takes (parse_mode HTML). Knows nothing of the API's calls.

Of HTML it has b, i, s, a, code, pre and blockquote; pre and code hold nothing else, quotes do not nest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from parley.channels import markdown
from parley.channels.blocks import Block, Code, Lines, blocks
from parley.channels.characters import utf16_units, well_formed
from parley.channels.spans import Close, CodeSpan, Link, Mark, Span, Text, plain

_TAGS: dict[Mark, str] = {"bold": "b", "italic": "i", "strike": "s"}
# A link to tg://user would mention, and so ping, a person; other schemes Telegram drops.
_ADDRESSES = ("https://", "http://")
# In a group `@name` rings that person's phone, in plain text too, and where a mark stands within it.
_NAME = re.compile(r"(?<![A-Za-z0-9_])@(?=[A-Za-z0-9_*~]|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TelegramHtml:
    """A text in HTML, and `visible`: what is left of it when Telegram has parsed it, whose length has a limit."""

    html: str
    visible: str


LONGEST_MESSAGE = 4_096
"""Most UTF-16 units that Telegram takes in one message, counted when it has parsed the markup."""
PIECE_UNITS = 4_000
"""Length of one piece; the rest of 4,096 is margin for what Telegram may count in another way."""


def pieces(text: str) -> list[str]:
    """The text, still Markdown, in pieces of at most 4,000 visible UTF-16 units."""
    return markdown.pieces(text, PIECE_UNITS, lambda piece: utf16_units(to_html(piece).visible))


def to_plain(source: str) -> str:
    """The text for a message without markup: the Markdown as it is, or where that is too long what HTML would show."""
    text = _without_pings(well_formed(source))
    return text if utf16_units(text) <= LONGEST_MESSAGE else to_html(text).visible


def to_html(source: str) -> TelegramHtml:
    """The text in Telegram's HTML."""
    writer = _Writer()
    for number, (quoted, group) in enumerate(groupby(blocks(well_formed(source)), _is_quoted)):
        if number:
            writer.text("\n")
        if quoted:
            writer.tag("<blockquote>")
        _write(group, writer)
        if quoted:
            writer.tag("</blockquote>")
    return TelegramHtml("".join(writer.html), "".join(writer.visible))


def escape(text: str) -> str:
    """The three characters that mean something in HTML's text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_pings(text: str) -> str:
    """The text, with a space of no width behind each @ that begins a name."""
    return _NAME.sub("@\u200b", text)


def _is_quoted(block: Block) -> bool:
    return isinstance(block, Lines) and block.quoted


def _write(group: Iterable[Block], writer: _Writer) -> None:
    for number, block in enumerate(group):
        if number:
            writer.text("\n")
        if isinstance(block, Code):
            writer.code(block)
        else:
            writer.said(block.lead)
            writer.spans(block.content)


class _Writer:
    """HTML on its way out, and what is visible of it."""

    def __init__(self) -> None:
        self.html: list[str] = []
        self.visible: list[str] = []

    def tag(self, tag: str) -> None:
        self.html.append(tag)

    def text(self, text: str) -> None:
        self.html.append(escape(text))
        self.visible.append(text)

    def said(self, text: str) -> None:
        self.text(_without_pings(text))

    def code(self, code: Code) -> None:
        language = f'<code class="language-{code.language}">' if code.language else ""
        self.tag(f"<pre>{language}")
        self.text(code.text)
        self.tag("</code></pre>" if language else "</pre>")

    def spans(self, content: Iterable[Span]) -> None:
        for span in content:
            if isinstance(span, Text):
                self.said(span.text)
            elif isinstance(span, CodeSpan):
                self.tag("<code>")
                self.text(span.text)
                self.tag("</code>")
            elif isinstance(span, Link):
                self._link(span)
            else:
                self.tag(f"</{_TAGS[span.mark]}>" if isinstance(span, Close) else f"<{_TAGS[span.mark]}>")

    def _link(self, link: Link) -> None:
        label = plain(link.label)
        if not link.url.startswith(_ADDRESSES):
            bare = label == link.url.removeprefix("mailto:")
            self.said(label if bare else f"{label} ({link.url})")
            return
        self.tag(f'<a href="{escape(link.url).replace(chr(34), "&quot;")}">')
        self.said(label)
        self.tag("</a>")
