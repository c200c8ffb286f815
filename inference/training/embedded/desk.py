"""Dialogues at a front desk: passages, questions about them, tools, manners. Endless, and repeatable by its seed.

A dialogue is a system message perhaps, then turns. Everything that can be answered wrongly carries an `Expectation`,
so that the same generator writes the evaluation sets. Knows no tokens.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.embedded.dialogue import TOOLS, Dialogue
from training.embedded.noise import disturb
from training.embedded.phrases import Phrases
from training.embedded.surfaces import Surfaces

ENTITIES = ("product", "course", "treatment", "field", "dept")
SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Fact:
    """One thing that a passage says: its topic, the sentence, and the values that fill the slots."""

    topic: str
    sentence: str
    values: dict[str, str]
    answer: str


class Desk:
    """Makes dialogues; `held_out` takes wordings and values that training never sees."""

    def __init__(self, seed: int, held_out: bool = False) -> None:
        self.rng = random.Random(seed)
        self._surfaces = Surfaces(self.rng, held_out)
        self._phrases = {language: Phrases(language, held_out) for language in ("en", "zh")}
        self._held_out = held_out

    # What is said

    def _fill(self, text: str, values: dict[str, str], language: str) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                if match[1] == "on" or (match[1] == "date" and "on" not in values):
                    values["date"], values["on"] = self._surfaces.dated(language)
                else:
                    values[match[1]] = self._surfaces.fill(match[1], language)
            return values[match[1]]

        return re.sub(r" {2,}", " ", SLOT.sub(value, text)).strip()

    def _ask(self, intent: str, language: str, values: dict[str, str] | None = None, noisy: bool = True) -> str:
        """A wording of the intent as a person may type it. Values stay as they are whatever is done to the rest."""
        values = {} if values is None else values
        template = self._phrases[language].desk.intents[intent].say(self.rng)
        return self._typed(template, values, language, noisy)

    def _typed(self, template: str, values: dict[str, str], language: str, noisy: bool) -> str:
        if self._held_out:
            return self._fill(template, values, language)
        if not noisy:
            if self.rng.random() < 0.7:  # the sentence's first letter, never a value's
                template = template[:1].upper() + template[1:]
            return self._fill(template, values, language)
        # Slots are one private character each while the words are disturbed.
        slots = SLOT.findall(template)
        bare = template
        for at, slot in enumerate(slots):
            bare = bare.replace("{" + slot + "}", chr(0xE000 + at), 1)
        bare = disturb(bare, language, "desk", self.rng)
        for at, slot in enumerate(slots):
            bare = bare.replace(chr(0xE000 + at), "{" + slot + "}")
        return self._fill(bare, values, language)

    def _reply(self, intent: str, language: str, values: dict[str, str] | None = None) -> str:
        text = self._fill(self._phrases[language].desk.intents[intent].answer, values or {}, language)
        return text[:1].upper() + text[1:]

    # Passages

    def _facts(self, language: str, count: int) -> list[Fact]:
        rng, topics = self.rng, self._phrases[language].facts.intents
        facts: list[Fact] = []
        taken: set[tuple[str, str]] = set()
        while len(facts) < count:
            values: dict[str, str] = {}
            previous = facts[-1] if facts else None
            if previous and entity_of(previous) and rng.random() < 0.4:
                # Another thing of the same kind, or another fact about the same thing: one must look closely.
                slot = next(s for s in ENTITIES if s in previous.values)
                names = [n for n in topics if "{" + slot + "}" in topics[n].lines[0]]
                name = previous.topic if rng.random() < 0.6 else rng.choice(names)
                if name != previous.topic:
                    values[slot] = previous.values[slot]
            else:
                name = rng.choice(list(topics))
            stated = rng.choice(topics[name].statements)(rng)  # a value that begins it stays as it is
            sentence = self._fill(stated[:1].upper() + stated[1:], values, language)
            fact = Fact(name, sentence, values, self._known(name, values, language))
            if (name, entity_of(fact)) not in taken and not self._clashes(fact, facts):
                taken.add((name, entity_of(fact)))
                facts.append(fact)
        rng.shuffle(facts)
        return facts

    def _known(self, topic: str, values: dict[str, str], language: str) -> str:
        """The topic's answer. It names what was asked for first, so that it can begin without looking anything up."""
        about, _, value = self._phrases[language].facts.intents[topic].answer.partition(" | ")
        joined = f"{about} {value}." if language == "en" else f"{about}{value}。"
        return self._fill(joined, values, language)

    def _not_known(self, topic: str, values: dict[str, str], language: str) -> str:
        about = self._phrases[language].facts.intents[topic].answer.partition(" | ")[0]
        return self._reply("unknown_fact", language, {"about": self._fill(about, values, language)})

    @staticmethod
    def _clashes(fact: Fact, facts: list[Fact]) -> bool:
        entity = entity_of(fact)
        return any(
            entity and other.topic == fact.topic and (entity in entity_of(other) or entity_of(other) in entity)
            for other in facts
        )

    def _question(self, topic: str, entity: dict[str, str], language: str) -> str:
        template = self._phrases[language].facts.intents[topic].say(self.rng)
        return self._typed(template, dict(entity), language, noisy=True)

    def _present(self, dialogue: Dialogue, facts: list[Fact]) -> tuple[str, str, tuple[str, ...]]:
        fact = self.rng.choice(facts)
        entity = {slot: value for slot, value in fact.values.items() if slot in ENTITIES}
        values = tuple(value for slot, value in fact.values.items() if slot not in (*ENTITIES, "on"))
        return self._question(fact.topic, entity, dialogue.language), fact.answer, values

    def _absent(self, dialogue: Dialogue, facts: list[Fact]) -> tuple[str, str]:
        rng, language = self.rng, dialogue.language
        if rng.random() < 0.2:
            return self._ask("off_topic", language), self._reply("unknown", language)
        topics = self._phrases[language].facts.intents
        known = {(fact.topic, entity_of(fact)) for fact in facts}
        while True:
            values: dict[str, str] = {}
            name = rng.choice(facts).topic if facts and rng.random() < 0.35 else rng.choice(list(topics))
            slot = next((slot for slot in ENTITIES if "{" + slot + "}" in topics[name].answer), None)
            if slot is not None:
                mentioned = [fact.values[slot] for fact in facts if slot in fact.values]
                spoken_of = mentioned and rng.random() < 0.35  # a thing that is spoken of, but not this about it
                values[slot] = rng.choice(mentioned) if spoken_of else self._surfaces.fill(slot, language)
            entity = "" if slot is None else values[slot]
            if not any(topic == name and (entity in other or other in entity) for topic, other in known):
                return self._question(name, values, language), self._not_known(name, values, language)

    # Turns

    def _grounded_turn(self, dialogue: Dialogue, facts: list[Fact]) -> None:
        if facts and self.rng.random() < 0.62:
            question, answer, values = self._present(dialogue, facts)
            dialogue.say("user", question)
            dialogue.answer(answer, "grounded", *values)
        else:
            question, answer = self._absent(dialogue, facts)
            dialogue.say("user", question)
            dialogue.answer(answer, "unknown")

    def _offered(self, dialogue: Dialogue, tool: str) -> bool:
        if tool in dialogue.tools:
            return True
        dialogue.answer(self._reply("not_offered", dialogue.language), "not_offered")
        return False

    def _result(self, dialogue: Dialogue, result: Any) -> None:
        text = json.dumps(result, ensure_ascii=False) if not isinstance(result, str) else result
        dialogue.messages.append({"role": "tool", "tool_call_id": "call_1", "content": text})

    def _order_turn(self, dialogue: Dialogue) -> None:
        rng, language, values = self.rng, dialogue.language, dict[str, str]()
        values["id"] = self._surfaces.fill("id", language)
        if rng.random() < 0.7:
            dialogue.say("user", self._ask("order_id", language, values))
            if not self._offered(dialogue, "find_order"):
                return
        else:
            dialogue.say("user", self._ask("order_only", language))
            if not self._offered(dialogue, "find_order"):
                return
            dialogue.answer(self._reply("order_only", language), "ask")
            dialogue.say("user", self._ask("give_id", language, values, noisy=False))
        dialogue.call("find_order", {"order_id": values["id"]})
        values["status"] = self._surfaces.fill("status", language)
        if (roll := rng.random()) < 0.15:
            self._result(
                dialogue, rng.choice(({"error": "not found"}, {"error": "no such order"}, {"found": False}, {}))
            )
            dialogue.answer(self._reply("order_missing", language, values), "tool_result", values["id"])
        elif roll < 0.2:
            self._result(dialogue, rng.choice(({"error": "timeout"}, {"error": "internal error"})))
            dialogue.answer(self._reply("tool_failed", language), "tool_result")
        elif roll < 0.6:
            self._result(dialogue, self._order({"status": values["status"]}, values["id"]))
            dialogue.answer(
                self._reply("order_answer", language, values), "tool_result", values["id"], values["status"]
            )
        else:
            values["eta"] = self._surfaces.fill("date", language)
            key = rng.choice(("eta", "expected", "delivery_date", "arrives"))
            self._result(dialogue, self._order({"status": values["status"], key: values["eta"]}, values["id"]))
            wanted = (values["id"], values["status"], values["eta"])
            dialogue.answer(self._reply("order_eta", language, values), "tool_result", *wanted)

    def _order(self, result: dict[str, str], number: str) -> dict[str, Any]:
        if self.rng.random() < 0.6:
            result = {"order_id": number, **result}
        if self.rng.random() < 0.2:
            result["items"] = self._surfaces.fill("n", "en")
        return result

    def _slots_turn(self, dialogue: Dialogue) -> None:
        rng, language, values = self.rng, dialogue.language, dict[str, str]()
        if rng.random() < 0.8:
            dialogue.say("user", self._ask("slots_date", language, values))
            if not self._offered(dialogue, "list_slots"):
                return
        else:
            dialogue.say("user", self._ask("slots_only", language))
            if not self._offered(dialogue, "list_slots"):
                return
            dialogue.answer(self._reply("slots_only", language), "ask")
            dialogue.say("user", self._ask("give_date", language, values, noisy=False))
        dialogue.call("list_slots", {"date": values["date"]})
        slots = [self._surfaces.fill("time", language) for _ in range(rng.choice((0, 1, 2, 3, 3, 4)))]
        slots = list(dict.fromkeys(slots))
        result: Any = {rng.choice(("slots", "free", "times")): slots}
        if rng.random() < 0.4:
            result = {"date": values["date"], **result}
        self._result(dialogue, result if rng.random() < 0.8 else slots)
        values["slots"] = ("、" if language == "zh" else ", ").join(slots)
        reply = self._reply("slots_answer" if slots else "slots_none", language, values)
        dialogue.answer(reply, "tool_result", *(slots or ["nothing is free" if language == "en" else "没有空位"]))

    def _book_turn(self, dialogue: Dialogue) -> None:
        rng, language, values = self.rng, dialogue.language, dict[str, str]()
        kind = rng.choices(
            ("book_all", "book_no_name", "book_no_date", "book_no_time", "book_only"), (55, 13, 10, 12, 10)
        )[0]
        dialogue.say("user", self._ask(kind, language, values, noisy=kind == "book_only"))
        if not self._offered(dialogue, "book_appointment"):
            return
        for slot, asking in (("name", "book_no_name"), ("date", "book_no_date"), ("time", "book_no_time")):
            if slot not in values:
                dialogue.answer(self._reply(asking, language), "ask")
                dialogue.say("user", self._ask(f"give_{slot}", language, values, noisy=False))
        wanted = {slot: values[slot] for slot in ("name", "date", "time")}
        dialogue.call("book_appointment", wanted)
        if (roll := rng.random()) < 0.2:
            error = rng.choice(("taken", "slot taken", "not available", "slot is not free", "already booked"))
            self._result(dialogue, {"error": error})
            dialogue.answer(self._reply("taken", language), "tool_result")
        elif roll < 0.6:
            values["id"] = self._surfaces.fill("id", language)
            self._result(
                dialogue,
                {
                    rng.choice(("booked", "ok", "confirmed")): True,
                    rng.choice(("reference", "id", "number")): values["id"],
                },
            )
            dialogue.answer(
                self._reply("booked_reference", language, values), "tool_result", *wanted.values(), values["id"]
            )
        else:
            self._result(
                dialogue, rng.choice(({"booked": True}, {"ok": True}, {"confirmed": True}, {"status": "booked"}))
            )
            dialogue.answer(self._reply("booked", language, values), "tool_result", *wanted.values())

    def _human_turn(self, dialogue: Dialogue) -> None:
        language = dialogue.language
        text = self._ask("human", language)
        dialogue.say("user", text)
        if not self._offered(dialogue, "hand_over"):
            return
        dialogue.call("hand_over", {"reason": text})
        self._result(dialogue, self.rng.choice(({"ok": True}, {"status": "queued"}, {"ticket": self._digits()}, {})))
        dialogue.answer(self._reply("human", language), "tool_result")

    def _digits(self) -> str:
        return str(self.rng.randint(100, 99999))

    def _manners_turn(self, dialogue: Dialogue, persona: dict[str, str] | None, speak: str) -> None:
        """Small talk and refusals, answered in `speak`: the language of the system prompt's rule, or the user's."""
        rng, language = self.rng, dialogue.language
        if rng.random() < 0.4:
            intent = rng.choice(("harmful", "harmful", "harmful", "self_harm"))
            dialogue.say("user", self._ask(intent, language))
            dialogue.answer(self._reply(intent, speak), "refused" if intent == "harmful" else "cared")
            return
        names_itself = persona and rng.random() < 0.4
        intent = rng.choice(("greet", "your_name") if names_itself else self._phrases[language].smalltalk)
        talk = self._phrases[language].talk.intents[intent]
        text = talk.say(rng) if self._held_out else disturb(talk.say(rng), language, "smalltalk", rng)
        dialogue.say(
            "user", text if not persona else text.replace("Parley", persona["bot"]).replace("parley", persona["bot"])
        )
        answer = self._phrases[speak].talk.intents[intent].answer
        if persona:
            template = self._phrases[speak].persona.get(intent, answer)
            answer = self._fill(template, persona, speak)
        values = (persona["bot"],) if persona and intent in ("greet", "your_name") else ()
        dialogue.answer(answer, "persona" if values else "manners", *values)

    # Whole dialogues

    def _system(self, dialogue: Dialogue, facts: list[Fact], persona: dict[str, str] | None, rule: str) -> str:
        rng, language = self.rng, dialogue.language
        written = (
            language if rng.random() < 0.85 or facts else rng.choice(("en", "zh"))
        )  # the owner may write otherwise
        lines = []
        if persona:
            lines.append(self._fill(self._phrases[written].desk.intents["role_system"].say(rng), persona, language))
        rules = rng.choice((0, 0, 1, 1, 2))
        lines += [self._ask("rules_system", written, noisy=False) for _ in range(rules)]
        if rule:
            lines.insert(rng.randint(0, len(lines)), self._ask(rule, rng.choice(("en", "zh")), noisy=False))
        text = rng.choice((" ", "\n")).join(lines)
        if facts:
            text += ("\n\n" if text and rng.random() < 0.6 else "\n" if text else "") + self._passage(facts, language)
        return text.strip()

    def _passage(self, facts: list[Fact], language: str) -> str:
        rng = self.rng
        heading = self._phrases[language].desk.intents["information"].say(rng)
        head = "" if rng.random() < 0.3 else heading + rng.choice((":\n", ": ", "\n"))
        style = rng.random()
        if style < 0.5:
            return head + (" " if language == "en" else "").join(fact.sentence for fact in facts)
        return head + "\n".join(("- " if style < 0.75 else "") + fact.sentence for fact in facts)

    def dialogue(self) -> Dialogue:
        """The next dialogue: a passage, tools, both or neither, and up to nine turns."""
        rng = self.rng
        dialogue = Dialogue("en" if rng.random() < 0.55 else "zh")
        language = dialogue.language
        persona: dict[str, str] | None = None
        if rng.random() < 0.5:
            persona = {slot: self._surfaces.fill(slot, language) for slot in ("bot", "business")}
        facts = self._facts(language, rng.choice((2, 3, 4, 5, 6, 7, 8))) if rng.random() < 0.62 else []
        if rng.random() < (0.45 if facts else 0.75):
            count = rng.choice((1, 2, 3, 4, 4, 4))
            dialogue.tools = rng.sample(list(TOOLS), count)
        rule = (
            rng.choice(("in_english_system", "in_chinese_system"))
            if not facts and not dialogue.tools and rng.random() < 0.7
            else ""
        )
        speak = {"in_english_system": "en", "in_chinese_system": "zh", "": language}[rule]
        in_user = facts and not persona and rng.random() < 0.4
        if not in_user and (text := self._system(dialogue, facts, persona, rule)):
            dialogue.say("system", text)
        self._turns(dialogue, facts, persona, speak)
        if in_user:
            self._into_first_question(dialogue, facts)
        return dialogue

    def _into_first_question(self, dialogue: Dialogue, facts: list[Fact]) -> None:
        first = dialogue.messages[0]
        passage = self._passage(facts, dialogue.language)
        asked = self.rng.choice(("Question: ", "")) if dialogue.language == "en" else self.rng.choice(("问题：", ""))
        parts = [passage, asked + first["content"]]
        if self.rng.random() < 0.25:
            parts = [first["content"], passage]
        first["content"] = self.rng.choice(("\n\n", "\n")).join(parts)

    def _turns(self, dialogue: Dialogue, facts: list[Fact], persona: dict[str, str] | None, speak: str) -> None:
        rng = self.rng
        tool_turns: list[Callable[[Dialogue], None]] = [
            self._order_turn,
            self._slots_turn,
            self._book_turn,
            self._book_turn,
            self._human_turn,
        ]
        for _ in range(rng.choice((4, 5, 6, 7, 8, 9)) if facts else rng.choice((1, 2, 3, 4))):
            roll = rng.random()
            if facts and roll < (0.6 if dialogue.tools else 0.8):
                self._grounded_turn(dialogue, facts)
            elif (dialogue.tools and roll < 0.9) or (facts and roll < 0.83 and dialogue.messages):
                rng.choice(tool_turns)(dialogue)
            elif roll < 0.93 and not facts and (persona or dialogue.tools) and speak == dialogue.language:
                self._grounded_turn(dialogue, facts)
            else:
                self._manners_turn(dialogue, persona, speak)


def entity_of(fact: Fact) -> str:
    """The thing that a fact is about, where its topic has many."""
    return next((fact.values[slot] for slot in ENTITIES if slot in fact.values), "")
