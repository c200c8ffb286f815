"""Writes the evaluation sets of the front desk: `python -m training.embedded.held_out`. Training never sees its output.

The sets are committed; the command makes the same files again. Wordings come from `held_out.*.txt`, invented values
from the held-out part of `surfaces.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from training.embedded.desk import Desk
from training.embedded.dialogue import Dialogue, Expectation, tool_definition
from training.embedded.wordings import load

ABOUT = Path(__file__).parent / "wordings" / "held_out_about.jsonl"
FOLDER = Path(__file__).parent.parent / "evaluation" / "sets"
SEED = 20_261_125

WANTED = {
    "tool.find_order": 30, "tool.book_appointment": 30, "tool.list_slots": 30, "tool.hand_over": 20, "ask": 20,
    "not_offered": 15, "tool_result": 30, "grounded": 70, "unknown": 45, "persona": 15, "manners": 15, "refused": 25,
    "cared": 6, "language": 15,
}  # fmt: skip
"""Items of each category in each language."""


def items() -> list[dict[str, Any]]:
    """The items in order: `WANTED` of every category in both languages, no two alike."""
    desk = Desk(SEED, held_out=True)
    counts: Counter[tuple[str, str]] = Counter()
    asked: set[str] = set()
    made: list[dict[str, Any]] = []
    while any(counts[category, language] < most for category, most in WANTED.items() for language in ("en", "zh")):
        dialogue = desk.dialogue()
        for expected in dialogue.expected:
            item = _item(dialogue, expected)
            key = (item["category"], item["language"])
            question = json.dumps(item["messages"][-1], ensure_ascii=False)
            if counts[key] < WANTED.get(key[0], 0) and (question not in asked or key[0] in REPEATED):
                counts[key] += 1
                asked.add(question)
                made.append({"id": f"desk-{key[1]}-{key[0]}-{counts[key]:02d}", **item})
                break  # one of a dialogue: more variety
    return sorted(made, key=lambda item: str(item["id"]))


REPEATED = ("persona", "manners", "refused", "cared", "language", "ask")
"""Categories whose questions are short: the same question may come under another system prompt."""


def _item(dialogue: Dialogue, expected: Expectation) -> dict[str, Any]:
    answer = dialogue.messages[expected.at]
    category, language = expected.category, dialogue.language
    if not expected.call and any("一" <= c <= "鿿" for c in answer["content"]) != (language == "zh"):
        category = "language"  # the system prompt asks for the other language than the user's
        language = "zh" if language == "en" else "en"
    expectation: dict[str, Any] = {"language": language}
    if expected.call:
        expectation = {"call": expected.call}
        if expected.call["name"] == "hand_over":
            expectation["free"] = ["reason"]
    elif category in ("unknown", "refused"):
        expectation[category] = True
    else:
        expectation["values"] = (
            list(expected.values) if category in ("grounded", "tool_result", "persona") else [answer["content"]]
        )
    tools = [tool_definition(name) for name in dialogue.tools]
    return {
        "category": category, "language": language, "messages": dialogue.messages[: expected.at],
        **({"tools": tools} if tools else {}), "reference": answer["content"], "expect": expectation,
    }  # fmt: skip


def about_items() -> list[dict[str, Any]]:
    """Questions about Parley itself, hand-written, and the answer that each should get."""
    made = []
    for number, line in enumerate(ABOUT.read_text("utf-8").splitlines()):
        row = json.loads(line)
        said = [*row.get("before", ()), row["text"]]
        messages = [{"role": "system", "content": "You are Parley, a helpful assistant."}]
        messages += [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
        answer = load(row["language"]).intents[row["intent"]].answer
        expect: dict[str, Any] = {"language": row["language"], "values": [answer]}
        if row["intent"] == "unknown":
            expect = {"language": row["language"], "unknown": True}
        head = {"id": f"about-{number:03d}", "category": "about", "language": row["language"]}
        made.append({**head, "messages": messages, "reference": answer, "expect": expect})
    return made


def main() -> None:
    """Writes `desk.jsonl` and `about.jsonl`."""
    for name, made in (("desk", items()), ("about", about_items())):
        (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in made), "utf-8")
        print(f"{len(made)} items in {FOLDER / name}.jsonl")


if __name__ == "__main__":
    main()
