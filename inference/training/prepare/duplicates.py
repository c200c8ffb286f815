"""Finds what was there before, to the letter or nearly, and what overlaps with the held-out sets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rensa import RMinHash, RMinHashDeduplicator

from training.errors import StepFailed
from training.records import Malformed, Record, parse_line, texts, weightless

SHINGLE = 5
"""Characters of a shingle: about a word, and in Chinese a phrase."""
PERMUTATIONS = 128
BANDS = 32
"""Of four values each: at a similarity of 0.85 one record in ten billion is not compared, at 0.7 one in 6,000. The
library's own 8 bands miss every fifth at 0.9. What is compared in vain costs time alone: finds are verified."""
SEED = 42

WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")
"""A word, or one Chinese character."""

QUESTIONS = ("text", "question", "query", "prompt")


class Duplicates:
    """Remembers every record it has let pass. `threshold` is the Jaccard similarity of the sets of shingles, as MinHash
    estimates it; 1 looks for equal records alone. Parts of one conversation are no near repeats of each other."""

    def __init__(self, threshold: float) -> None:
        self._exact: dict[bytes, str] = {}
        self._conversations: dict[str, str] = {}
        self._near = None
        if threshold < 1:
            self._near = RMinHashDeduplicator(threshold, PERMUTATIONS, use_lsh=True, num_bands=BANDS, seed=SEED)

    def found(self, record: Record) -> tuple[str, str] | None:
        """(`duplicate` or `near_duplicate`, the earlier record's id); None for a new record, which is remembered."""
        # the system prompt is no part of the comparison: many conversations begin with the same one
        words = "\n".join(texts(record, ("user", "assistant", "tool"))).casefold()
        key = hashlib.sha256(" ".join(words.split()).encode()).digest()
        if key in self._exact:
            return "duplicate", self._exact[key]
        if self._near is not None:
            sketch = RMinHash(PERMUTATIONS, SEED)
            sketch.update(shingles(words))
            for earlier in self._near.get_duplicates(sketch):
                if self._conversations[earlier] != record["conversation"]:
                    return "near_duplicate", str(earlier)
            self._near.add(record["id"], sketch)
            self._conversations[record["id"]] = record["conversation"]
        self._exact[key] = record["id"]
        return None


def shingles(words: str) -> list[str]:
    """Every run of `SHINGLE` characters, punctuation and spaces left out; a shorter text is one shingle."""
    dense = "".join(WORD.findall(words))
    return list({dense[i : i + SHINGLE] for i in range(max(1, len(dense) - SHINGLE + 1))})


class HeldOut:
    """What a model must not have learned: the questions of evaluation sets.

    A record overlaps when a user's message in it, or its text, shares `run` words (Chinese characters) in a row with
    one; or when a user's message is, but for case and punctuation, a question that is shorter than that. Answers are
    not compared: "I do not know" is right for many questions, and a model has to learn it.
    """

    def __init__(self, files: Sequence[Path], run: int) -> None:
        self._run = run
        self._runs: set[tuple[str, ...]] = set()
        self._whole: set[tuple[str, ...]] = set()
        for file in files:
            for asked in item_questions(file):
                if len(last := tokens(asked[-1])) < run:
                    self._whole.add(last)
                for text in asked:
                    self._runs.update(_windows(tokens(text), run))
        self._whole.discard(())

    def overlap(self, record: Record) -> str | None:
        """The shared words, or None."""
        for text in texts(record, ("user",)):
            words = tokens(text)
            if words in self._whole:
                return " ".join(words)
            for window in _windows(words, self._run):
                if window in self._runs:
                    return " ".join(window)
        return None


def item_questions(file: Path) -> Iterator[list[str]]:
    """What is asked in each item of an evaluation set: the user's `messages`, or the text under one of the names that
    such sets use. Raises StepFailed when an item has none."""
    if not file.is_file():
        raise StepFailed(f"there is no file {file}; --held-out takes the .jsonl files of evaluation sets")
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = parse_line(line)
        except Malformed as error:
            raise StepFailed(f"{file}:{number}: {error}; --held-out takes JSON Lines") from None
        found = list(_asked(item)) if isinstance(item, Mapping) else []
        if not found:
            raise StepFailed(f"{file}:{number} has no user's messages and none of {', '.join(QUESTIONS)}")
        yield found


def _asked(item: Mapping[str, Any]) -> Iterator[str]:
    yield from (item[name] for name in QUESTIONS if isinstance(item.get(name), str))
    for message in item.get("messages") or ():
        if isinstance(message, Mapping) and message.get("role") == "user" and isinstance(message.get("content"), str):
            yield message["content"]


def tokens(text: str) -> tuple[str, ...]:
    """Words in lower case, and Chinese characters one by one."""
    return tuple(WORD.findall(text.casefold()))


def _windows(words: tuple[str, ...], run: int) -> Iterator[tuple[str, ...]]:
    return (words[i : i + run] for i in range(len(words) - run + 1))


def prompt_key(record: Record) -> str | None:
    """What the last answer of a conversation answered, to find other answers to it; None without such an answer."""
    messages = record.get("messages") or []
    if not messages or messages[-1]["role"] != "assistant":
        return None
    return json.dumps([weightless(messages[:-1]), record.get("tools")], sort_keys=True, ensure_ascii=False)
