"""Dialogues about Parley itself, and small talk, as they go before anybody has set up a bot of their own."""

from __future__ import annotations

import random

from training.embedded.dialogue import Dialogue
from training.embedded.noise import disturb
from training.embedded.wordings import LANGUAGES, Expansion, Intent, load, system_lines

UNKNOWN_SHARE = 0.2
"""How many user messages are off topic: enough to learn the honest answer, too few for it to swallow the others."""

SMALLTALK_SHARE = 0.3
"""Small talk has short wordings, soon learned."""

TURNS = (1, 2, 3, 4, 5, 6, 10)
TURN_WEIGHTS = (40, 20, 14, 10, 8, 5, 3)


class About:
    """An endless, repeatable stream: the same seed gives the same dialogues."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._intents = {language: load(language).intents for language in LANGUAGES}
        self._system: dict[str, list[Expansion]] = {
            language: [load(language).compile(line) for line in lines] for language, lines in system_lines().items()
        }

    def dialogue(self) -> Dialogue:
        """An optional system message, then questions and their answers."""
        rng = self._rng
        language = "en" if rng.random() < 0.55 else "zh"
        dialogue = Dialogue(language)
        if rng.random() < 0.5:
            dialogue.say("system", self._system_prompt(language))
        for _ in range(rng.choices(TURNS, TURN_WEIGHTS)[0]):
            asked = language if rng.random() < 0.92 else rng.choice(LANGUAGES)
            intent, text = self.question(asked)
            dialogue.say("user", text)
            dialogue.answer(intent.answer, "about")
        return dialogue

    def question(self, language: str) -> tuple[Intent, str]:
        """An intent of `language`, and one way a person might word it."""
        rng = self._rng
        roll = rng.random()
        category = "faq"
        if roll < UNKNOWN_SHARE:
            category = "unknown"
        elif roll < UNKNOWN_SHARE + SMALLTALK_SHARE:
            category = "smalltalk"
        intent = rng.choice([intent for intent in self._intents[language].values() if intent.category == category])
        return intent, disturb(intent.say(rng), language, category, rng)

    def _system_prompt(self, language: str) -> str:
        rng = self._rng
        lines = self._system[language]
        text = [rng.choice(lines)(rng) for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3)))]
        if rng.random() < 0.4:
            text[0] = lines[0](rng)  # what most deployments say: as common as all the others together
        return rng.choice((" ", " ", "\n")).join(text)
