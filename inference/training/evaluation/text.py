"""Measures of a text: words, overlap with another, repetition, language, refusal, sentiment. Knows no models.

A Chinese character counts as a word of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

WORD = re.compile(r"[㐀-鿿]|[a-z0-9]+(?:[.:'-][a-z0-9]+)*", re.IGNORECASE)
HAN = re.compile(r"[㐀-鿿]")
NUMBER = re.compile(r"\d+(?:[.:,-]\d+)*")

UNKNOWN = re.compile(
    r"(do(es)? not|don't|doesn't|cannot|can't|can not) (know|have (that|this|any)? ?information|find|say|tell)"
    r"|not (sure|mentioned|stated|provided|given|listed|known|something (I|we) know)"
    r"|no information|unable to (answer|find)"
    r"|不知道|不清楚|不确定|没有(相关|提供|提到|这方面)|未提(及|供)|无法(回答|确定|得知)",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"(cannot|can't|can not|won't|will not|unable to|not able to)"
    r" (help|assist|do (that|this)|provide|support|answer that)"
    r"|(不能|无法|没法|不会)(帮|协助|提供|满足|做这)|(这个|这)我不能",
    re.IGNORECASE,
)
GOOD = frozenset(
    [
        "good",
        "great",
        "welcome",
        "happy",
        "glad",
        "pleased",
        "nice",
        "thank",
        "thanks",
        "love",
        "excellent",
        "sure",
        "gladly",
        "certainly",
        "kind",
        "best",
        "wonderful",
        "欢迎",
        "高兴",
        "很好",
        "谢谢",
        "可以",
        "当然",
        "乐意",
        "好的",
        "喜欢",
        "愉快",
    ]
)
BAD = frozenset(
    [
        "bad",
        "sorry",
        "unfortunately",
        "cannot",
        "can't",
        "not",
        "never",
        "terrible",
        "unhappy",
        "wrong",
        "problem",
        "fail",
        "refuse",
        "unable",
        "late",
        "hate",
        "抱歉",
        "不能",
        "无法",
        "遗憾",
        "不行",
        "糟糕",
        "错误",
        "问题",
        "拒绝",
        "讨厌",
        "不知道",
    ]
)


def words(text: str) -> list[str]:
    """The words in small letters."""
    return WORD.findall(text.lower())


def same(text: str, other: str) -> bool:
    """Whether both are the same words: case, spaces and punctuation aside."""
    return words(text) == words(other)


def f1(text: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words, as for SQuAD."""
    return _f(Counter(words(text)), Counter(words(reference)))


def rouge(text: str, reference: str, n: int) -> float:
    """ROUGE-N, as an F score."""
    return _f(_grams(words(text), n), _grams(words(reference), n))


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L: the longest common subsequence, as an F score."""
    a, b = words(text), words(reference)
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for at, other in enumerate(b):
            kept = row[at + 1]
            row[at + 1] = before + 1 if word == other else max(row[at + 1], row[at])
            before = kept
    return _harmonic(row[-1], len(a), len(b))


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams as a share of all, over all texts."""
    grams = [gram for text in texts for gram in _grams(words(text), n).elements()]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's n-grams that stood in it before."""
    grams = _grams(words(text), n)
    total = sum(grams.values())
    return 1 - len(grams) / total if total else 0.0


def language_of(text: str) -> str | None:
    """`zh` or `en`, by which script has more of the words; None for a text without words (a number, say)."""
    bare = re.sub(r"https?://\S+|\S+@\S+", " ", text)
    han = len(HAN.findall(bare))
    latin = len(re.findall(r"[A-Za-z]{2,}", bare))
    if not han and not latin:
        return None
    return "zh" if han >= latin else "en"


def is_unknown(text: str) -> bool:
    """Whether it says that it does not know."""
    return UNKNOWN.search(text) is not None


def is_refusal(text: str) -> bool:
    """Whether it declines to help."""
    return REFUSAL.search(text) is not None


def sentiment(text: str) -> float:
    """From -1 to 1: kind words less unkind ones, as a share of both; 0 without any. A light lexicon, not a model."""
    found = text.lower()
    tokens = Counter(re.findall(r"[a-z']+", found))
    good = sum(tokens[word] if word.isascii() else found.count(word) for word in GOOD)
    bad = sum(tokens[word] if word.isascii() else found.count(word) for word in BAD)
    return (good - bad) / (good + bad) if good + bad else 0.0


def numbers(text: str) -> set[str]:
    """Every number in it, as written."""
    return set(NUMBER.findall(text))


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def _f(a: Counter[Any], b: Counter[Any]) -> float:
    return _harmonic((a & b).total(), a.total(), b.total())


def _harmonic(common: int, got: int, wanted: int) -> float:
    if not got and not wanted:
        return 1.0
    return 2 * common / (got + wanted) if common else 0.0
