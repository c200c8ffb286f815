"""The wordings of one language: those for training, or the held-out ones. Knows no values and no dialogues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.embedded.wordings import Intent, Wordings, load, read

FOLDER = Path(__file__).parent / "wordings"

SMALL_TALK = (
    "greet",
    "greet",
    "good_morning",
    "how_are_you",
    "thanks",
    "thanks",
    "bye",
    "your_name",
    "your_name",
    "are_you_human",
    "praise",
)
PERSONA = {
    "en": {
        "greet": "Hello! I am {bot}. How can I help you?",
        "your_name": "My name is {bot}. I work for {business}.",
    },
    "zh": {
        "greet": "你好！我是{bot}。有什么可以帮您？",
        "your_name": "我叫{bot}，为{business}工作。",
    },
}


class Phrases:
    """`facts`: topics with statements and questions; `desk`: requests and answers; `talk`: small talk and Parley."""

    def __init__(self, language: str, unseen_only: bool = False) -> None:
        self.facts = read(language, FOLDER / f"facts.{language}.txt")
        self.desk = read(language, FOLDER / f"desk.{language}.txt")
        self.talk = Wordings(language, dict(load(language).intents))
        self.smalltalk = SMALL_TALK
        self.persona = PERSONA[language]
        if unseen_only:
            unseen = held_out(language)
            for own in (self.facts, self.desk, self.talk):
                own.intents = {name: _unseen(intent, unseen.get(name)) for name, intent in own.intents.items()}


def held_out(language: str) -> dict[str, Intent]:
    """The held-out wordings by intent or topic."""
    return read(language, FOLDER / f"held_out.{language}.txt", literal=True).intents


def _unseen(intent: Intent, other: Intent | None) -> Intent:
    """The same answer to held-out wordings, stated as held out."""
    if other is None:
        return intent
    return replace(other, answer=intent.answer, statements=other.statements or intent.statements)
