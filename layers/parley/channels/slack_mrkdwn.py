"""Standard Markdown as Slack's mrkdwn, the markup of a message's `text` field. Knows nothing of Slack's API.

mrkdwn has bold, italic, strike, code, links and quotes, no headings, lists or tables, and no escape but for `& < >`.
"""

from __future__ import annotations

from parley.channels import markdown
from parley.channels.blocks import Code, Lines, blocks
from parley.channels.characters import well_formed
from parley.channels.spans import Close, CodeSpan, Link, Mark, Open, Span, Text, plain

_MARKS: dict[Mark, str] = {"bold": "*", "italic": "_", "strike": "~"}
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ZERO_WIDTH_SPACE = "\u200b"
_IN_ADDRESS = str.maketrans({"&": "&amp;", "<": "%3C", ">": "%3E", "|": "%7C", " ": "%20", "\t": "%20"})
# Between angle brackets Slack also reads `!channel` and `@U123`: only what begins like this may stand there.
_ADDRESSES = ("https://", "http://", "mailto:", "tel:")


PIECE_CHARACTERS = 3_900
"""Length of one message after conversion. Slack asks for at most 4,000 and cuts at 40,000."""


def pieces(text: str) -> list[str]:
    """The text, still Markdown, in pieces of at most 3,900 characters of mrkdwn."""
    return markdown.pieces(text, PIECE_CHARACTERS, lambda piece: len(to_mrkdwn(piece)))


def to_mrkdwn(source: str) -> str:
    """The text in mrkdwn, everything escaped that could ping: `<!channel>` from a model shows as it is written."""
    found = blocks(well_formed(source))
    return "\n".join(_code(block) if isinstance(block, Code) else _lines(block) for block in found)


def escape(text: str) -> str:
    """The three characters with a meaning of their own in Slack's text, as Slack wants them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(code: Code) -> str:
    """A block of code; Slack would show a language as its first line, and end the block at any three backticks."""
    return f"```\n{escape(code.text.replace('```', f'``{_ZERO_WIDTH_SPACE}`'))}\n```"


def _lines(lines: Lines) -> str:
    writer = _Writer(lines.lead)
    for span in lines.content:
        writer.write(span)
    if not lines.quoted:
        return writer.text
    return "\n".join(f"> {line}".rstrip() for line in writer.text.split("\n"))


class _Writer:
    """One run of inline content on its way into mrkdwn.

    Marks are written as late as can be and ended with each line, since Slack carries none over a line's end and takes
    none before white space. Slack also takes a mark only next to white space or punctuation, which Chinese text does
    not have around emphasis: a zero-width space stands in.
    """

    def __init__(self, lead: str) -> None:
        self.text = lead
        self._wanted: list[Mark] = []
        self._shown: list[Mark] = []
        self._after_mark = False

    def write(self, span: Span) -> None:
        if isinstance(span, Open):
            self._wanted.append(span.mark)
        elif isinstance(span, Close):
            self._wanted.remove(span.mark)
            if span.mark not in self._wanted and span.mark in self._shown:
                self._hide(self._shown.index(span.mark))
        elif isinstance(span, CodeSpan):
            self._write_code(span.text)
        elif isinstance(span, Link):
            self._write_link(span)
        else:
            self._write_text(span)

    def _write_text(self, text: Text) -> None:
        for number, line in enumerate(text.text.split("\n")):
            if number:
                self._hide(0)
                self._append("\n")
            words = line.lstrip()
            self._append(line[: len(line) - len(words)])
            if words:
                self._show()
                self._append(escape(words))

    def _write_code(self, code: str) -> None:
        self._show()
        if "`" in code:  # mrkdwn has no way to put a backtick into code
            self._append(escape(code))
            return
        self._append_mark(f"`{escape(code)}`")
        self._after_mark = True

    def _write_link(self, link: Link) -> None:
        label = " ".join(plain(link.label).split())
        if not link.url.startswith(_ADDRESSES):
            self._write_text(Text(label if label == link.url else f"{label} ({link.url})"))
            return
        self._show()
        address = link.url.translate(_IN_ADDRESS)
        self._append(f"<{address}>" if label == link.url else f"<{address}|{escape(label)}>")

    def _show(self) -> None:
        """Write the marks that are wanted and not written yet; one within the same mark is not written again."""
        for mark in self._wanted:
            if mark not in self._shown:
                self._append_mark(_MARKS[mark])
                self._shown.append(mark)

    def _hide(self, depth: int) -> None:
        """End the marks that are written, down to `depth`."""
        while len(self._shown) > depth:
            self.text += _MARKS[self._shown.pop()]
            self._after_mark = True

    def _append(self, text: str) -> None:
        if self._after_mark and text:
            self.text += _ZERO_WIDTH_SPACE if _sticks(text[0]) else ""
            self._after_mark = False
        self.text += text

    def _append_mark(self, text: str) -> None:
        if self.text and _sticks(self.text[-1]):
            self.text += _ZERO_WIDTH_SPACE
        self._after_mark = False
        self.text += text


def _sticks(neighbour: str) -> bool:
    """Whether Slack would not see a mark next to this character."""
    return not neighbour.isspace() and neighbour not in _PUNCTUATION and neighbour != _ZERO_WIDTH_SPACE
