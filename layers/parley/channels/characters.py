"""What counts as one character: where a text may be cut, how long UTF-16 finds it, and whether it can be sent at all.

Knows no Markdown and no platform.
"""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"


def well_formed(text: str) -> str:
    """The text with each lone surrogate as U+FFFD, and each pair of surrogates as the character it stands for.

    JSON may hold half of a pair (`"\\ud83d"`). Python keeps it, and then neither UTF-8 nor a platform's API takes it.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def utf16_units(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts: characters beyond U+FFFF count two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_boundary(text: str, position: int) -> bool:
    """Whether a cut before `text[position]` leaves what a reader sees as one character whole.

    A short version of the grapheme rules of Unicode's annex 29: marks, joiners, skin tones, flags, Hangul jamo.
    """
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    if before < "\u0300" and after < "\u0300":
        return (before, after) != ("\r", "\n")
    if after == _JOINER or before == _JOINER or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return False
    if _is_skin_tone(after) or _is_trailing_jamo(after) or (_is_high(before) and _is_low(after)):
        return False
    return not (_is_flag_half(after) and _odd_flag_halves_before(text, position))


def _is_skin_tone(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"


def _is_trailing_jamo(character: str) -> bool:
    return "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7ff"


def _is_high(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def _is_low(character: str) -> bool:
    return "\udc00" <= character <= "\udfff"


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _odd_flag_halves_before(text: str, position: int) -> bool:
    """A flag is two regional indicators: with an odd number of them behind, a cut here would part one."""
    start = position
    while start > 0 and _is_flag_half(text[start - 1]):
        start -= 1
    return (position - start) % 2 == 1
