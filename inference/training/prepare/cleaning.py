"""Text in one form, its language, and whether it is worth learning. Looks at one record at a time.

Unicode's NFC, not NFKC: the same letter gets the same code points, and nothing changes its meaning. NFKC would make 2
²-sign exponents, 1 of ①, and an ASCII comma of ，: users write those, and the model has to read and write them.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from training.records import Record, texts

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]")
KANA = re.compile(r"[\u3040-\u30ff]")
HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")
TOLD_APART = (
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "tr", "ru", "uk", "el",
    "ar", "he", "fa", "hi", "th", "vi", "id",
)  # fmt: skip
"""The languages that py3langid chooses from. Among all 97 it knows, a short English question is often taken for one
that has few speakers."""
LOOKED_AT = 4_000
"""Characters of a record by which its language is known."""


@dataclass(frozen=True)
class Filters:
    """What a record must be to stay. Lengths are in characters; `languages` empty means any."""

    languages: Sequence[str] = ()
    shortest_answer: int = 2
    shortest_text: int = 40
    longest: int = 400_000
    least_compressed: float = 0.08
    """Compressed to a smaller share of its size, a record says the same over and over (prose: 0.3 to 0.6)."""
    fewest_letters: float = 0.4
    """Share of letters and digits among what is no space, from 200 characters on."""


def normalise(text: str) -> str:
    """NFC, lines ended by one line feed, no control characters, no spaces at the ends of lines."""
    text = unicodedata.normalize("NFC", CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    return re.sub(r"[ \t]+(?=\n|\Z)", "", text).strip("\n")


def normalise_record(record: Record) -> Record:
    """The record with its words normalised; arguments of tool calls only in Unicode's form, as they are JSON."""
    if "text" in record:
        return {**record, "text": normalise(record["text"])}
    messages = []
    for message in record["messages"]:
        entry = {**message, "content": normalise(message["content"])}
        if calls := message.get("tool_calls"):
            entry["tool_calls"] = [{**call, "function": _normalise_call(call["function"])} for call in calls]
        messages.append(entry)
    return {**record, "messages": messages}


def _normalise_call(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "arguments": unicodedata.normalize("NFC", function["arguments"])}


def language(text: str) -> str:
    """ISO 639-1 of the language that most of the text is in; `und` where that cannot be told.

    By script where a script tells; else by py3langid, among TOLD_APART, if it is surer than not.
    """
    text = text[:LOOKED_AT]
    letters = sum(character.isalpha() for character in text)
    if not letters:
        return "und"
    if len(HANGUL.findall(text)) > 0.3 * letters:
        return "ko"
    if len(KANA.findall(text)) > 0.1 * letters:
        return "ja"
    # a Chinese character says about as much as three letters do
    if 3 * len(HAN.findall(text)) > letters - len(HAN.findall(text)):
        return "zh"
    found, probability = _identifier().classify(text)
    return str(found) if probability > 0.5 else "und"


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(TOLD_APART))
    return identifier


def language_of(record: Record) -> str:
    """The language of what user and assistant say, or of the text."""
    return language("\n".join(texts(record, ("user", "assistant"))))


def why_not(record: Record, filters: Filters) -> tuple[str, str] | None:
    """Why the record must go: a word to count by and what was found; None when it may stay."""
    words = "\n".join(texts(record))
    if len(words) > filters.longest:
        return "too_long", f"{len(words)} characters"
    if "text" in record:
        if len(words.strip()) < filters.shortest_text:
            return "too_short", f"{len(words.strip())} characters"
    else:
        answers = [message for message in record["messages"] if message["role"] == "assistant"]
        if not all(message["content"].strip() or message.get("tool_calls") for message in answers):
            return "empty_answer", "an answer without words"
        lengths = [len(m["content"].strip()) for m in answers if not m.get("tool_calls")]
        if lengths and max(lengths) < filters.shortest_answer:
            return "too_short", f"the longest answer has {max(lengths)} characters"
    if filters.languages and record["language"] not in filters.languages:
        return "language", record["language"]
    if (found := words.count("\ufffd")) * 200 > len(words):
        return "garbled", f"{found} characters were lost in a conversion"
    dense = [character for character in words if not character.isspace()]
    if len(dense) >= 200 and (share := sum(map(str.isalnum, dense)) / len(dense)) < filters.fewest_letters:
        return "no_prose", f"{share:.0%} letters and digits"
    raw = words.encode()
    if len(raw) >= 1_000 and (share := len(zlib.compress(raw)) / len(raw)) < filters.least_compressed:
        return "repetitive", f"compresses to {share:.1%}"
    return None
