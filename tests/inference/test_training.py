"""The embedded model's recipe: generator, held-out set, loss mask, and that training learns. Trains nothing large."""

from __future__ import annotations

import random
import re
from itertools import islice
from typing import Any

import pytest
import torch
from training.batches import batches, pad
from training.dialogues import Generator, Message
from training.evaluate import held_out
from training.noise import misspell
from training.tokens import ROLES, Encoder, Example
from training.train import build_model, make_optimizers, make_tokenizer, rate, step
from training.wordings import LANGUAGES, Wordings, load


@pytest.fixture(scope="module")
def small_tokenizer() -> Any:
    return make_tokenizer(seed=5, dialogues=400)


def bare(text: str) -> str:
    """Letters and digits alone, in lower case: what two wordings differ in when they differ at all."""
    return re.sub(r"[\W_]", "", text.lower())


def test_the_same_seed_gives_the_same_dialogues() -> None:
    first, again, other = (list(islice(Generator(seed).dialogues(), 50)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_every_intent_has_an_answer_and_wordings_in_both_languages() -> None:
    english, chinese = (load(language).intents for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    assert len(english) >= 50
    for intent in [*english.values(), *chinese.values()]:
        assert intent.answer, f"{intent.language} {intent.name} has no answer"
        assert len(intent.lines) >= 4


def test_answers_differ_so_that_each_tells_its_intent() -> None:
    for language in LANGUAGES:
        answers = [intent.answer for intent in load(language).intents.values()]
        assert len(set(answers)) == len(answers)


def test_a_dialogue_ends_with_the_answer_to_its_last_question() -> None:
    generator = Generator(9)
    for dialogue in islice(generator.dialogues(), 200):
        roles = [message.role for message in dialogue]
        assert roles[-2:] == ["user", "assistant"]
        assert "system" not in roles[1:]


def test_held_out_has_three_questions_for_every_intent_in_both_languages() -> None:
    asked = [(question.language, question.intent) for question in held_out()]
    for language in LANGUAGES:
        for name in load(language).intents:
            assert asked.count((language, name)) >= 3, f"{language} {name}"


def test_no_wording_can_make_a_held_out_question() -> None:
    wordings = {language: load(language) for language in LANGUAGES}
    patterns = {
        (language, name): [known.pattern(line) for line in intent.lines]
        for language, known in wordings.items()
        for name, intent in known.intents.items()
    }
    made = [
        question.messages[-1]
        for question in held_out()
        if any(p.fullmatch(bare(question.messages[-1])) for p in patterns[question.language, question.intent])
    ]
    assert made == []


def test_no_held_out_question_is_among_generated_ones() -> None:
    generator = Generator(11)
    generated = {bare(generator.question(language)[1]) for language in LANGUAGES for _ in range(2_000)}
    assert generated.isdisjoint(bare(question.messages[-1]) for question in held_out())


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


def test_a_typo_changes_one_letter_and_spares_short_words() -> None:
    rng = random.Random(2)
    assert misspell("hello", rng) == "hello"
    for _ in range(50):
        assert abs(len(misspell("how do I start it", rng)) - len("how do I start it")) <= 1


def test_only_the_assistants_tokens_are_learned(small_tokenizer: Any) -> None:
    dialogue = [
        Message("system", "You are Parley."),
        Message("user", "hello"),
        Message("assistant", "Hello! I am Parley."),
        Message("user", "再见"),
        Message("assistant", "再见！"),
    ]
    example = Encoder(small_tokenizer).encode(dialogue)
    learned = [token for token, own in zip(example.ids, example.learned, strict=True) if own]
    assert small_tokenizer.decode(learned) == "Hello! I am Parley.<|end|>再见！<|end|>"
    ids, labels = pad([example, Example([7, 8], [False, True])])
    assert labels[0].tolist() == [t if own else -100 for t, own in zip(example.ids, example.learned, strict=True)]
    assert (ids[1, 2:] == 0).all()
    assert labels[1].tolist() == [-100, 8] + [-100] * (len(example.ids) - 2)


def test_training_sees_the_tokens_that_the_chat_template_gives(small_tokenizer: Any) -> None:
    dialogue = next(d for d in Generator(6).dialogues() if len(d) > 5)
    rendered = small_tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.text} for message in dialogue], tokenize=False
    )
    ids = small_tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert Encoder(small_tokenizer).encode(dialogue).ids == ids


def test_the_template_takes_text_parts_and_tool_messages(small_tokenizer: Any) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": " there"}]},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "42"},
    ]
    text = small_tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>hithere<|end|><|assistant|><|end|><|tool|>42<|end|><|assistant|>"
    with pytest.raises(Exception, match="unknown role pirate"):
        small_tokenizer.apply_chat_template([{"role": "pirate", "content": "arr"}], tokenize=False)


def test_every_text_comes_back_from_its_tokens(small_tokenizer: Any) -> None:
    for text in ("Don't PANIC: 3.14, ok?", "死信队列 DLQ 是什么？", "naïve 🙂\tтест\n日本語"):
        ids = small_tokenizer(text, add_special_tokens=False)["input_ids"]
        assert small_tokenizer.decode(ids) == text
    assert all(len(small_tokenizer(role, add_special_tokens=False)["input_ids"]) == 1 for role in ROLES.values())


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    assert rate(0.0) < rate(0.03)
    assert rate(0.03) > rate(0.5) > rate(0.9) > rate(1.0) == 0


def test_twenty_steps_lower_the_loss(small_tokenizer: Any) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = build_model(small_tokenizer, width=64, layers=2)
    optimizers = make_optimizers(model)
    stream = batches(Generator(8), Encoder(small_tokenizer, dropout=0.1), tokens=512, seed=8)
    losses = [step(model, optimizers, *next(stream)) for _ in range(20)]
    assert losses[0] > 7
    assert sum(losses[-3:]) / 3 < losses[0] - 1
