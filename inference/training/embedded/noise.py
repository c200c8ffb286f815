"""Makes one clean wording look like what people type: polite frames, case, punctuation, typos. Knows no intents."""

from __future__ import annotations

import random
import re
from functools import cache

from training.embedded.wordings import FOLDER


@cache
def frames() -> dict[str, list[str]]:
    """What goes `before en`, `after zh` and so on; `filler en`; under `function` words of little meaning."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in (FOLDER / "frames.txt").read_text("utf-8").splitlines():
        if line.startswith("## "):
            key = line[3:]
        elif line.startswith("|"):
            found.setdefault(key, []).extend(line.strip()[1:-1].split("|"))
    return found


def disturb(text: str, language: str, category: str, rng: random.Random) -> str:
    """One way a person might have typed `text`. Small talk gets no frames: "tell me hello" is nothing one says."""
    if category != "smalltalk" or rng.random() < 0.06:
        if rng.random() < 0.33:
            text = rng.choice(frames()[f"before {language}"]) + text
        if rng.random() < 0.14:
            text += rng.choice(frames()[f"after {language}"])
    if rng.random() < 0.7:
        text = text.replace("parley", "Parley")  # wordings are written in lower case; people often write the name
    text = _shuffle_words(text, rng) if language == "en" else _drop_characters(text, rng)
    if rng.random() < 0.12:
        text = misspell(text, rng)
    return _punctuate(_case(text, rng), language, category, rng)


def _shuffle_words(text: str, rng: random.Random) -> str:
    """Function words lost, a filler put in: what carries the meaning must be the other words."""
    words = text.split(" ")
    if len(words) < 4:
        return text
    if rng.random() < 0.18:
        words = [w for w in words if w.lower() not in frames()["function en"] or rng.random() < 0.6] or words
    if rng.random() < 0.1:
        words.insert(rng.randrange(1, len(words)), rng.choice(frames()["filler en"]))
    return " ".join(words)


def _drop_characters(text: str, rng: random.Random) -> str:
    if rng.random() < 0.18 and len(text) > 5:
        return "".join(c for c in text if c not in frames()["function zh"] or rng.random() < 0.6) or text
    return text


def misspell(text: str, rng: random.Random) -> str:
    """One slip of the finger: two letters swapped, one lost, doubled or replaced. Short texts stay as they are."""
    places = [m.start() for m in re.finditer(r"\w", text)]
    if len(places) < 6:
        return text
    at = rng.choice(places[1:])
    slip = rng.randrange(4)
    if slip == 0 and at + 1 < len(text):
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if slip == 1:
        return text[:at] + text[at + 1 :]
    if slip == 2:
        return text[: at + 1] + text[at:]
    return text[:at] + rng.choice("abcdefghijklmnoprstuwy") + text[at + 1 :] if text[at].isascii() else text


def _case(text: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return text[:1].upper() + text[1:]
    if roll < 0.7:
        return text.lower()
    return text.upper() if roll > 0.98 else text


def _punctuate(text: str, language: str, category: str, rng: random.Random) -> str:
    question, full_stop = ("？", "。") if language == "zh" and rng.random() < 0.8 else ("?", ".")
    roll = rng.random()
    if category != "smalltalk":
        return text + (question if roll < 0.5 else full_stop if roll < 0.58 else question * 2 if roll < 0.61 else "")
    exclamation = "！" if question == "？" else "!"
    return text + (exclamation if roll < 0.2 else full_stop if roll < 0.35 else question if roll < 0.5 else "")
