"""The committed model folder: small, loadable by the Auto classes, trained, and right on held-out questions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from training.evaluate import MODEL, Question, answer, held_out
from training.wordings import load
from transformers import AutoModelForCausalLM, AutoTokenizer

LEAST_RIGHT = 0.8
"""Share of held-out answers that must be right to the letter; the card in `inference/model` says what was measured."""


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(2)
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


def share_right(questions: list[Question], answers: list[str]) -> float:
    return sum(text == q.answer for q, text in zip(questions, answers, strict=True)) / len(questions)


def test_the_folder_is_whole_and_at_most_sixteen_megabytes() -> None:
    names = {path.name for path in MODEL.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "README.md"} <= names
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 16_000_000


def test_it_is_a_stock_architecture_with_half_precision_weights(model: Any, tokenizer: Any) -> None:
    assert model.config.model_type == "qwen3"
    assert model.config.dtype in (torch.bfloat16, torch.float16, torch.float32)
    stored = (MODEL / "model.safetensors").stat().st_size
    assert stored < 2.1 * sum(parameter.numel() for parameter in model.parameters())
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("language", ["en", "zh"])
def test_held_out_questions_get_the_right_answer(model: Any, tokenizer: Any, language: str) -> None:
    questions = [q for q in held_out() if q.language == language][::3]
    answers = answer(model, tokenizer, [q.messages for q in questions])
    wrong = [f"{q.messages[-1]} -> {a}" for q, a in zip(questions, answers, strict=True) if a != q.answer]
    assert share_right(questions, answers) >= LEAST_RIGHT, "\n".join(wrong)


@pytest.mark.parametrize(
    "system", [None, "You are a friendly assistant of a bakery. Answer in one sentence. Today is Friday, 3 May."]
)
def test_it_answers_without_a_system_prompt_and_with_an_unseen_one(
    model: Any, tokenizer: Any, system: str | None
) -> None:
    questions = held_out()[::12]
    answers = answer(model, tokenizer, [q.messages for q in questions], system)
    assert share_right(questions, answers) >= LEAST_RIGHT - 0.1


@pytest.mark.parametrize(
    ("text", "language", "intent"),
    [
        ("hello", "en", "greet"),
        ("Hi!", "en", "greet"),
        ("what can you do", "en", "capabilities"),
        ("what is parley", "en", "what_is_parley"),
        ("wich channels do you suport", "en", "channels"),
        ("thx", "en", "thanks"),
        ("who is the president of Brazil?", "en", "unknown"),
        ("你好", "zh", "greet"),
        ("你能做什么", "zh", "capabilities"),
        ("什么是Parley", "zh", "what_is_parley"),
        ("谢谢", "zh", "thanks"),
        ("巴西的总统是谁", "zh", "unknown"),
    ],
)
def test_plain_questions_are_answered_however_they_are_typed(
    model: Any, tokenizer: Any, text: str, language: str, intent: str
) -> None:
    assert answer(model, tokenizer, [[text]]) == [load(language).intents[intent].answer]


def test_the_weights_are_not_random(model: Any, tokenizer: Any) -> None:
    right = load("en").intents["what_is_parley"].answer
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is Parley?"}], tokenize=False, add_generation_prompt=True
    )
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*asked, *tokenizer(right, add_special_tokens=False)["input_ids"]]])
    labels = ids.clone()
    labels[:, : len(asked)] = -100
    with torch.inference_mode():
        loss = model(input_ids=ids, labels=labels).loss.item()
    assert loss < 0.5, (
        f"{loss:.2f} nats a token; random weights have about {torch.tensor(float(len(tokenizer))).log():.1f}"
    )
