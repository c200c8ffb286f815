"""Reads text, Markdown and HTML: a document is one text, a long one several with the same `conversation`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from training.collect.entries import RAW_CHARACTERS, Entry, decode
from training.records import Malformed

PIECE_CHARACTERS = 100_000
"""Longer documents are cut at an empty line, so that no record takes much memory."""

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
NO_TEXT = ("script", "style", "noscript", "template", "svg", "nav", "footer", "form", "iframe", "head")
"""Elements whose content is not the document's own text."""


def read_document(path: Path, kind: str) -> Iterator[Entry]:
    """The document's text in pieces. HTML becomes Markdown, so that headings, lists and tables stay."""
    content = path.read_bytes()
    try:
        text = _html(content) if kind == "html" else decode(content)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if kind == "markdown":
            text = FRONT_MATTER.sub("", text)
        if "\0" in text:
            raise Malformed("not_text", "it holds zero bytes; it is no text")
        if not text.strip():
            raise Malformed("empty", "there is no text in it")
    except Malformed as error:
        yield Entry(0, kind, None, error, content[:RAW_CHARACTERS].decode(errors="replace"))
        return
    for position, piece in enumerate(pieces(text)):
        yield Entry(position, kind, {"text": piece})


def pieces(text: str, most: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The text, cut behind empty lines (else lines, else anywhere) into pieces of at most `most` characters."""
    while len(text) > most:
        cut = max(text.rfind("\n\n", 0, most) + 2, most // 2)
        if cut == most // 2:
            cut = max(text.rfind("\n", 0, most) + 1, most // 2)
        if cut == most // 2:
            cut = most
        yield text[:cut]
        text = text[cut:]
    if text.strip():
        yield text


def _html(content: bytes) -> str:
    # imported here: a collection without HTML does not need it
    from bs4 import BeautifulSoup, UnicodeDammit
    from markdownify import MarkdownConverter

    decoded = UnicodeDammit(content, is_html=True)
    if decoded.unicode_markup is None or decoded.contains_replacement_characters:
        raise Malformed("not_utf8", "its character set is not known; convert it to UTF-8")
    try:
        soup = BeautifulSoup(decoded.unicode_markup, "html.parser")
        for element in soup.find_all(NO_TEXT):
            element.decompose()
        body = soup.find("main") or soup.find("article") or soup.body or soup
        text = MarkdownConverter(heading_style="ATX", bullets="-", strip=["a", "img"]).convert_soup(body)
    except RecursionError:
        raise Malformed("not_html", "its elements are nested too deep") from None
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()
