"""Masks what tells who somebody is: e-mail addresses, phone, card and ID numbers, in English and Chinese forms.

Names and postal addresses are not found: no rule tells them from other words. Numbers are proven by their checksums
where they have one, so that most order numbers stay; after a label that names an ID, any number is taken for one.
A bare number that could be called (ten digits with a valid American area code, say) is masked: better one too many.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import luhn
from stdnum.cn import ric
from stdnum.us import ssn

WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""Full-width forms, as Chinese keyboards write them; one character for one, so that places in the text stay."""

NUMERALS = dict(zip(map(ord, "零〇一二三四五六七八九幺"), "001234567891", strict=True))

START, END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
BETWEEN = r"[ .\-\u2010-\u2013]?"

EMAIL = re.compile(
    # Bounded, and begun only where a word begins: a megabyte of letters is looked at once.
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}\s?(?:@|\(at\)|\[at\])\s?[A-Za-z0-9\-]{1,63}"
    r"(?:(?:\.|\s?(?:\(dot\)|\[dot\])\s?)[A-Za-z0-9\-]{1,63}){1,8}",
    re.IGNORECASE,
)
LABELLED_ID = re.compile(
    r"(?:身份证(?:号码|号)?|护照(?:号码|号)?|社保(?:卡)?(?:号码|号)|\bSSN\b|\bsocial security(?: number)?"
    r"|\bpassport(?: number| no\.?)?|\bnational insurance(?: number)?|\bNI number)[\s:是为#]{0,4}(?:is\s)?"
    r"(?P<number>[A-Z]{0,2}\d(?:[ \-]?\d){4,19} ?(?:[XA-D])?(?![0-9A-Z]))",
    re.IGNORECASE,
)
RESIDENT_ID = re.compile(START + r"\d{6}[ \-]?(?:18|19|20)\d{2}[ \-]?\d{4}[ \-]?\d{3}[0-9Xx]" + END)
SOCIAL_SECURITY = re.compile(START + r"\d{3}[ \-]\d{2}[ \-]\d{4}" + END)
NATIONAL_INSURANCE = re.compile(
    START + r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]" + r" ?\d{2} ?\d{2} ?\d{2} ?[A-D]" + END,
    re.IGNORECASE,
)
CARD = re.compile(START + r"[2-6](?:[ \-]?\d){12,18}" + END)
CHINESE_MOBILE = re.compile(
    START + r"(?:(?:\+|00)?86" + BETWEEN + r")?1[3-9]\d" + BETWEEN + r"\d{4}" + BETWEEN + r"\d{4}" + END
)
CHINESE_LANDLINE = re.compile(START + r"(?:\(0\d{2,3}\)|0\d{2,3}[ \-])\s?[2-9]\d{6,7}" + END)
AMERICAN_PHONE = re.compile(
    r"(?<![0-9A-Za-z])(?:\+?1[ .\-])?(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[ .\-])[2-9]\d{2}[ .\-]\d{4}" + END
)
MANY_DIGITS = re.compile(r"\d(?:[ ().\-/]{0,3}\d){6}")
LENIENCY = {"GB": Leniency.VALID, "US": Leniency.STRICT_GROUPING, "CN": Leniency.STRICT_GROUPING}
"""Where a number without a country code may be from; with one, every country's numbers are known. Numbers of those
who need no leading zero must be grouped as there: two numbers that stand side by side make a valid one too often. The
patterns above are freer."""

Span = tuple[int, int, str]


def mask(text: str) -> tuple[str, Counter[str]]:
    """The text with `[email]`, `[phone]`, `[card]` or `[id]` in the place of each find, and how many of each."""
    counts: Counter[str] = Counter()
    parts, end = [], 0
    for start, stop, kind in _apart(_found(text), len(text)):
        counts[kind] += 1
        parts += [text[end:start], f"[{kind}]"]
        end = stop
    return "".join([*parts, text[end:]]), counts


def mask_record(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """The record with every text in it masked: messages, names, arguments of tool calls. Sources and tools stay."""
    counts: Counter[str] = Counter()

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            text, found = mask(value)
            counts.update(found)
            return text
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            text, found = mask(str(value))
            counts.update(found)
            return text if found else value
        if isinstance(value, Mapping):
            return {masked(key): masked(member) for key, member in value.items()}
        return [masked(member) for member in value]

    def message(entry: Mapping[str, Any]) -> dict[str, Any]:
        out = {key: masked(value) for key, value in entry.items() if key in ("content", "name")}
        if calls := entry.get("tool_calls"):
            out["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": json.dumps(
                    masked(json.loads(call["function"]["arguments"])), ensure_ascii=False)}}
                for call in calls
            ]  # fmt: skip
        return {**entry, **out}

    result = dict(record)
    if "messages" in record:
        result["messages"] = [message(entry) for entry in record["messages"]]
    if "text" in record:
        result["text"] = masked(record["text"])
    return result, counts


def _found(text: str) -> Iterator[Span]:
    """Every find; those before others win where they overlap."""
    plain = text.translate(WIDE)
    # as figures, for numbers that are read out; only where so many stand together that they are no words
    digits = plain.translate(NUMERALS)
    yield from ((*match.span(), "email") for match in EMAIL.finditer(plain))
    yield from ((*match.span(), "id") for match in NATIONAL_INSURANCE.finditer(plain))
    if not MANY_DIGITS.search(digits):
        return
    yield from ((*match.span("number"), "id") for match in LABELLED_ID.finditer(digits))
    yield from ((*m.span(), "id") for m in RESIDENT_ID.finditer(digits) if ric.is_valid(re.sub("[ -]", "", m[0])))
    yield from ((*m.span(), "id") for m in SOCIAL_SECURITY.finditer(plain) if ssn.is_valid(m[0].replace(" ", "-")))
    yield from ((*m.span(), "card") for m in CARD.finditer(digits) if luhn.is_valid(re.sub(r"\D", "", m[0])))
    for pattern in (CHINESE_MOBILE, CHINESE_LANDLINE, AMERICAN_PHONE):
        yield from ((*match.span(), "phone") for match in pattern.finditer(digits))
    for region, leniency in LENIENCY.items():
        # the matcher gives up after so many tries in one text; its own limit is too low for a long one
        matcher = PhoneNumberMatcher(plain, region, leniency=leniency, max_tries=65_535)
        yield from ((match.start, match.end, "phone") for match in matcher)


def _apart(spans: Iterator[Span], length: int) -> list[Span]:
    """The spans in the order of the text, those that touch an earlier find left out."""
    taken, kept = bytearray(length), []
    for span in spans:
        if not any(taken[span[0] : span[1]]):
            taken[span[0] : span[1]] = b"\1" * (span[1] - span[0])
            kept.append(span)
    return sorted(kept)
