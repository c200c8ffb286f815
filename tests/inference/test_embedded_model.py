"""The committed model folder: small, loadable by the Auto classes, trained, and right on held-out questions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from training.evaluation.verdicts import judge
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[2] / "inference"
MODEL = ROOT / "model"
SETS = ROOT / "training" / "evaluation" / "sets"

LEAST_RIGHT = 0.83
"""Share of held-out answers about Parley that must be right; the card in `inference/model` says what was measured."""


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(2)
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, dialogues: list[list[dict[str, Any]]]) -> list[str]:
    """The greedy answers, all at once."""
    prompts = [tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True) for said in dialogues]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
    out = model.generate(**ids, max_new_tokens=70, do_sample=False)
    found: list[str] = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return found


def asked(model: Any, tokenizer: Any, category: str, every: int) -> list[float]:
    """Verdicts on each so many of the front desk's held-out items of a category."""
    items = [json.loads(line) for line in (SETS / "desk.jsonl").read_text("utf-8").splitlines()]
    verdicts = []
    for item in [item for item in items if item["category"].startswith(category)][::every]:
        prompt = tokenizer.apply_chat_template(
            item["messages"], tools=item.get("tools"), tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=90, do_sample=False)
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        calls = [json.loads(call) for call in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text)]
        verdict = judge(item, {"text": "" if calls else text, "calls": calls})
        verdicts.append(verdict[{"tool.": "tool.arguments", "grounded": "grounded.exact"}[category]])
    return verdicts


def test_tools_are_called_with_what_the_user_wrote(model: Any, tokenizer: Any) -> None:
    verdicts = asked(model, tokenizer, "tool.", 8)
    assert len(verdicts) > 20
    assert sum(verdicts) / len(verdicts) >= 0.9


def test_answers_come_from_the_passage(model: Any, tokenizer: Any) -> None:
    verdicts = asked(model, tokenizer, "grounded", 6)
    assert len(verdicts) > 20
    assert sum(verdicts) / len(verdicts) >= 0.8


def test_the_folder_is_whole_and_at_most_sixteen_megabytes() -> None:
    names = {path.name for path in MODEL.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "README.md"} <= names
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 16_000_000


def test_it_is_a_stock_architecture_with_half_precision_weights(model: Any, tokenizer: Any) -> None:
    assert model.config.model_type in ("qwen2", "qwen3")
    stored = (MODEL / "model.safetensors").stat().st_size
    assert stored < 2.1 * sum(parameter.numel() for parameter in model.parameters())
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_questions_about_parley_in_held_out_words_get_the_right_answer(model: Any, tokenizer: Any) -> None:
    items = [json.loads(line) for line in (SETS / "about.jsonl").read_text("utf-8").splitlines()][::3]
    said = answers(model, tokenizer, [item["messages"] for item in items])
    verdicts = [judge(item, {"text": text, "calls": []})["about.right"] for item, text in zip(items, said, strict=True)]
    wrong = [f"{i['messages'][-1]['content']} -> {a}" for i, a, v in zip(items, said, verdicts, strict=True) if not v]
    assert sum(verdicts) / len(verdicts) >= LEAST_RIGHT, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hello", "I am Parley"),
        ("what is parley", "Parley is a chatbot that you run in your own AWS account"),
        ("thanks", "You are welcome!"),
        ("你好", "我是 Parley"),
        ("什么是Parley", "Parley 是你在自己的 AWS 账户里"),
        ("谢谢", "不客气！"),
    ],
)
def test_plain_questions_are_answered_without_a_system_prompt(
    model: Any, tokenizer: Any, text: str, wanted: str
) -> None:
    assert wanted in answers(model, tokenizer, [[{"role": "user", "content": text}]])[0]


def test_the_weights_are_not_random(model: Any, tokenizer: Any) -> None:
    right = "Parley is a chatbot that you run in your own AWS account, on your own open-weight model."
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
