"""Generates the dialogues that the embedded model learns from. Knows no tokens: a dialogue is a list of messages."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from training.noise import disturb
from training.wordings import LANGUAGES, Expansion, Intent, Wordings, load, system_lines

UNKNOWN_SHARE = 0.17
"""How many user messages are off topic: enough to learn the honest answer, too few for it to swallow the others."""

SMALLTALK_SHARE = 0.28
"""Small talk has short wordings, soon learned."""

TURNS = (1, 2, 3, 4, 5, 6, 10, 16)
TURN_WEIGHTS = (72, 13, 6, 3, 2, 2, 1, 1)


@dataclass(frozen=True)
class Message:
    """One message of a training dialogue. `role` is system, user or assistant."""

    role: str
    text: str


class Generator:
    """An endless, repeatable stream of dialogues: the same seed gives the same dialogues."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.wordings: dict[str, Wordings] = {language: load(language) for language in LANGUAGES}
        self._groups = {language: _by_category(w) for language, w in self.wordings.items()}
        self._system: dict[str, list[Expansion]] = {
            language: [self.wordings[language].compile(line) for line in lines]
            for language, lines in system_lines().items()
        }

    def dialogues(self) -> Iterator[list[Message]]:
        """Dialogues of one to sixteen turns, with and without a system prompt, without end."""
        while True:
            yield self.dialogue()

    def dialogue(self) -> list[Message]:
        """The next dialogue: an optional system message, then user and assistant messages, an assistant's last."""
        rng = self._rng
        # English has case, inflection and more ways to spell: it learns more slowly and gets more of the time.
        language = "en" if rng.random() < 0.62 else "zh"
        messages = self._system_prompt(language) if rng.random() < 0.5 else []
        for _ in range(rng.choices(TURNS, TURN_WEIGHTS)[0]):
            if rng.random() < 0.08:
                language = rng.choice(LANGUAGES)
            messages += self._turn(language)
        return messages

    def question(self, language: str) -> tuple[Intent, str]:
        """An intent of `language`, and one way a person might word it."""
        rng, groups = self._rng, self._groups[language]
        roll = rng.random()
        category = "faq"
        if roll < UNKNOWN_SHARE:
            category = "unknown"
        elif roll < UNKNOWN_SHARE + SMALLTALK_SHARE:
            category = "smalltalk"
        intent = rng.choice(groups[category])
        return intent, disturb(intent.say(rng), language, category, rng)

    def _turn(self, language: str) -> list[Message]:
        """One question and its answer; now and then two messages at once, of which the last is answered."""
        intent, text = self.question(language)
        asked = [Message("user", text)]
        if self._rng.random() < 0.04:
            asked.insert(0, Message("user", self.question(language)[1]))
        return [*asked, Message("assistant", intent.answer)]

    def _system_prompt(self, language: str) -> list[Message]:
        rng = self._rng
        lines = self._system[rng.choice(LANGUAGES) if rng.random() < 0.3 else language]
        count = rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 5))
        # The first two lines are what most deployments say: as common here as all the others together.
        first = lines[0] if rng.random() < 0.4 else None
        text = [rng.choice(lines)(rng) for _ in range(count)]
        if first:
            text[0] = first(rng)
        return [Message("system", rng.choice((" ", " ", "\n")).join(text))]


def _by_category(wordings: Wordings) -> dict[str, list[Intent]]:
    groups: dict[str, list[Intent]] = {}
    for intent in wordings.intents.values():
        groups.setdefault(intent.category, []).append(intent)
    return groups
