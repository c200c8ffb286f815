"""The embedded model's recipe: endless repeatable data, disjoint from the evaluation sets, and a start that copies."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from training.embedded.about import About
from training.embedded.architecture import BACK, COPYING, build_model
from training.embedded.card import TARGETS, card
from training.embedded.desk import Desk
from training.embedded.dialogue import TOOLS, Dialogue, tool_definition
from training.embedded.encoding import encode
from training.embedded.held_out import FOLDER, WANTED, about_items, items
from training.embedded.noise import misspell
from training.embedded.phrases import FOLDER as WORDINGS
from training.embedded.phrases import Phrases, held_out
from training.embedded.recipe import dialogues, make_tokenizer
from training.embedded.surfaces import SHARED, Surfaces, is_held_out
from training.embedded.wordings import LANGUAGES, Wordings, load, read


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer(5, 200)


def bare(text: str) -> str:
    """Letters and digits alone, in lower case: what two wordings differ in when they differ at all."""
    return re.sub(r"[\W_]", "", text.lower())


def of_set(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]


def statements(file: str, language: str) -> list[str]:
    lines = (WORDINGS / f"{file}.{language}.txt").read_text("utf-8").splitlines()
    return [line[2:] for line in lines if line.startswith("- ")]


def test_the_same_seed_gives_the_same_dialogues() -> None:
    first, again, other = (list(islice(dialogues(seed), 40)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_what_is_expected_stands_in_the_context_or_is_a_fixed_answer() -> None:
    seen: Counter[str] = Counter()
    desk = Desk(9)
    for _ in range(300):
        dialogue = desk.dialogue()
        for expected in dialogue.expected:
            before = json.dumps(dialogue.messages[: expected.at], ensure_ascii=False)
            seen[expected.category] += 1
            if expected.call:
                assert expected.call["name"] in dialogue.tools
                assert all(
                    json.dumps(v, ensure_ascii=False)[1:-1] in before for v in expected.call["arguments"].values()
                )
            if expected.category == "grounded":
                assert all(value in before for value in expected.values)
    assert {"grounded", "unknown", "ask", "not_offered", "refused", *(f"tool.{name}" for name in TOOLS)} <= seen.keys()


def test_the_shipped_sets_are_what_the_command_writes() -> None:
    assert of_set("desk") == items()
    assert of_set("about") == about_items()
    counts = Counter((item["category"], item["language"]) for item in of_set("desk"))
    assert counts == {(category, language): n for category, n in WANTED.items() for language in LANGUAGES}
    assert sum(len(of_set(path.stem)) for path in FOLDER.glob("*.jsonl")) >= 600


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_training_wording_can_make_a_held_out_one(language: str) -> None:
    phrases = Phrases(language)
    known_wordings = [phrases.facts, phrases.desk, load(language)]
    made = []
    for name, unseen in held_out(language).items():
        own = next(known for known in known_wordings if name in known.intents)
        patterns = [own.pattern(line) for line in own.intents[name].lines]
        made += [line for line in unseen.lines if any(pattern.fullmatch(bare(line)) for pattern in patterns)]
    assert made == []
    assert len(held_out(language)) >= 60


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_training_statement_can_make_a_held_out_one(language: str) -> None:
    known = read(language, WORDINGS / f"facts.{language}.txt")
    patterns = [known.pattern(line) for line in statements("facts", language)]
    made = [s for s in statements("held_out", language) if any(p.fullmatch(bare(s)) for p in patterns)]
    assert made == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_statement_says_all_that_its_topics_answer_needs(language: str) -> None:
    def slots(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text))

    rng, unseen = random.Random(4), held_out(language)
    for name, topic in Phrases(language).facts.intents.items():
        about, _, value = topic.answer.partition(" | ")
        said = [statement(rng) for statement in (*topic.statements, *unseen[name].statements) for _ in range(20)]
        assert value, name
        assert [text for text in said if slots(text) != slots(topic.answer)] == []
        asked = [topic.say(rng) for _ in range(60)] + [unseen[name].say(rng) for _ in range(10)]
        assert [text for text in asked if slots(text) != slots(about)] == []


def test_an_answer_begins_alike_whether_the_passage_has_it_or_not() -> None:
    desk = Desk(12)
    answers = [
        (expected.category, dialogue.language, str(dialogue.messages[expected.at]["content"]))
        for dialogue in (desk.dialogue() for _ in range(400))
        for expected in dialogue.expected
    ]
    topics = {
        la: [t.answer.split(" | ")[0].split("{")[0] for t in Phrases(la).facts.intents.values()] for la in LANGUAGES
    }
    known = [(la, text) for category, la, text in answers if category == "grounded"]
    unknown = [(la, text) for category, la, text in answers if category == "unknown"]
    assert len(known) > 100
    assert all(any(text.startswith(topic) for topic in topics[la]) for la, text in known)
    assert sum(any(text.startswith(topic) for topic in topics[la] if topic) for la, text in unknown) > len(unknown) / 2


def test_no_question_about_parley_can_be_generated() -> None:
    patterns = {
        (language, name): [load(language).pattern(line) for line in intent.lines]
        for language in LANGUAGES
        for name, intent in load(language).intents.items()
    }
    rows = [json.loads(line) for line in (WORDINGS / "held_out_about.jsonl").read_text("utf-8").splitlines()]
    made = [r["text"] for r in rows if any(p.fullmatch(bare(r["text"])) for p in patterns[r["language"], r["intent"]])]
    assert made == []
    about = About(11)
    generated = {bare(about.question(language)[1]) for language in LANGUAGES for _ in range(1_000)}
    assert generated.isdisjoint(bare(row["text"]) for row in rows)


def test_invented_values_are_for_training_or_held_out_never_both() -> None:
    slots = ("id", "name", "product", "phone", "code", "bot", "business", "street", "price", "email")
    assert not set(slots) & SHARED
    for held in (False, True):
        surfaces = Surfaces(random.Random(1), held)
        values = [surfaces.fill(slot, language) for slot in slots for language in LANGUAGES for _ in range(50)]
        assert all(is_held_out(value) == held for value in values)


def test_training_sees_the_tokens_that_the_chat_template_gives(tokenizer: Any) -> None:
    dialogue = next(d for d in dialogues(6) if d.tools and any(m.get("tool_calls") for m in d.messages))
    tools = [tool_definition(name) for name in dialogue.tools]
    rendered = tokenizer.apply_chat_template(dialogue.messages, tools=tools, tokenize=False)
    encoded = encode(dialogue.messages, tools, tokenizer.backend_tokenizer)
    assert encoded.ids == tokenizer(rendered, add_special_tokens=False)["input_ids"]
    answers = [m for m in dialogue.messages if m["role"] == "assistant"]
    learned = tokenizer.decode([token for token, own in zip(encoded.ids, encoded.learned, strict=True) if own])
    assert learned.count("<|end|>") == len(answers)
    assert all(answer["content"] in learned for answer in answers)
    assert not encoded.learned[0]


@pytest.mark.parametrize("value", ["AB-10482", "Marlena Vostrak", "10:30", "李思雨", "kx81-22"])
def test_a_value_has_the_same_tokens_in_a_sentence_and_in_json(tokenizer: Any, value: str) -> None:
    def tokens(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    own = tokens(value)
    for text in (f"it is {value}, thanks", f'{{"order_id": "{value}"}}', f"请查一下{value}。"):
        ids = tokens(text)
        assert any(ids[at : at + len(own)] == own for at in range(len(ids))), tokenizer.convert_ids_to_tokens(ids)


def test_every_text_comes_back_from_its_tokens(tokenizer: Any) -> None:
    for text in ("Don't PANIC: 3.14, ok?", "死信队列 DLQ 是什么？", "naïve 🙂\tтест\n日本語", " a  b\n\n ab1-2 iPhone"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_template_takes_text_parts_and_refuses_unknown_roles(tokenizer: Any) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": " there"}]},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "42"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>hithere<|end|><|assistant|><|end|><|tool|>42<|end|><|assistant|>"
    with pytest.raises(Exception, match="unknown role pirate"):
        tokenizer.apply_chat_template([{"role": "pirate", "content": "arr"}], tokenize=False)


def test_an_untrained_model_looks_where_the_same_tokens_stood_before(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model: Any = build_model(tokenizer, width=256, layers=3, inner=128)
    model.set_attn_implementation("eager")
    ids = torch.randint(300, 1000, (2, 120))
    with torch.inference_mode():
        attentions = model(torch.cat([ids, ids], 1), output_attentions=True).attentions
    queries = torch.arange(124, 239)
    for head, distance in enumerate(BACK):
        assert (attentions[0][:, head, queries].argmax(-1) == queries - distance).float().mean() > 0.99
    for head in COPYING:  # the token that followed when these were said the last time
        assert (attentions[1][:, head, queries].argmax(-1) == queries - 119).float().mean() > 0.8


def test_a_pattern_matches_what_its_wording_says() -> None:
    wordings, rng = Wordings("en", lists={"colour": ["red", "(dark |)blue"]}), random.Random(1)
    line = "what('s| is) (the|an?) <colour>( one|)"
    for _ in range(50):
        assert wordings.pattern(line).fullmatch(bare(wordings.compile(line)(rng)))
    assert not wordings.pattern(line).fullmatch("whatisgreen")


@pytest.mark.parametrize("line", ["(open", "closed)", "<missing>"])
def test_a_broken_wording_is_refused_with_its_text(line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        Wordings("en").compile(line)(random.Random(0))


def test_every_topic_and_request_is_written_in_both_languages() -> None:
    for name in ("facts", "desk", "held_out"):
        english, chinese = (read(la, WORDINGS / f"{name}.{la}.txt", literal=name == "held_out") for la in LANGUAGES)
        assert english.intents.keys() == chinese.intents.keys()
    assert all(intent.statements for intent in Phrases("en").facts.intents.values())


def test_a_typo_changes_one_letter_and_spares_short_words() -> None:
    rng = random.Random(2)
    assert misspell("hello", rng) == "hello"
    for _ in range(50):
        assert abs(len(misspell("how do I start it", rng)) - len("how do I start it")) <= 1


def test_a_dialogue_counts_its_messages() -> None:
    dialogue = Dialogue("en")
    dialogue.say("user", "hi")
    dialogue.answer("Hello!", "manners")
    assert [(expected.at, expected.values) for expected in dialogue.expected] == [(1, ("Hello!",))]


def test_the_card_tells_scores_beside_what_was_aimed_at(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "model.safetensors")
    config = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": 1024}
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    told = {"settings": {"rows": 3}, "runs": [{"steps": 10, "seed": 1, "loss": 0.5}], "note": "Shortened."}
    (tmp_path / "training.json").write_text(json.dumps(told))
    metrics = {name: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8} for name in TARGETS}
    text = card(tmp_path, metrics)
    assert "17 parameters" in text
    assert "30,720 tokens" in text
    assert "Shortened." in text
    assert "| tool.arguments | 50.0% | 40.0% to 60.0% | 8 | 95% |" in text
