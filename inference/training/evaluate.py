"""Scores a model folder on the held-out questions: `python -m training.evaluate [FOLDER]`. Trains nothing.

An answer is right when it is, to the letter, the answer of the intent that the question was written for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from training.wordings import LANGUAGES, load

HELD_OUT = Path(__file__).parent / "held_out.jsonl"
MODEL = Path(__file__).parent.parent / "model"
SYSTEM = "You are Parley, a helpful assistant."
ANSWER_TOKENS = 80


@dataclass(frozen=True)
class Question:
    """One held-out question: `messages` is the user's text, or a dialogue's texts in turn, the user's last."""

    intent: str
    category: str
    language: str
    messages: tuple[str, ...]
    answer: str


def held_out() -> list[Question]:
    """The held-out questions with their right answers."""
    wordings = {language: load(language) for language in LANGUAGES}
    questions = []
    for line in HELD_OUT.read_text("utf-8").splitlines():
        row = json.loads(line)
        intent = wordings[row["language"]].intents[row["intent"]]
        messages = (*row.get("before", ()), row["text"])
        questions.append(Question(intent.name, intent.category, row["language"], messages, intent.answer))
    return questions


@torch.inference_mode()
def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Sequence[str]],
    system: str | None = SYSTEM,
    rows: int = 32,
) -> list[str]:
    """The greedy answers to dialogues (user and assistant texts in turn, the user's last), in their order."""
    answers: list[str] = []
    for start in range(0, len(dialogues), rows):
        prompts = []
        for texts in dialogues[start : start + rows]:
            head = [{"role": "system", "content": system}] if system else []
            said = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
            prompts.append(tokenizer.apply_chat_template([*head, *said], tokenize=False, add_generation_prompt=True))
        batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        out = model.generate(  # type: ignore[operator]  # transformers leaves it untyped
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
        )
        length = batch["input_ids"].shape[1]
        answers += tokenizer.batch_decode(out[:, length:], skip_special_tokens=True)
    return answers


def score(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """(right, all) by `language`, `language category` and `all`."""
    counts: dict[str, tuple[int, int]] = {}
    for question, text in zip(questions, answers, strict=True):
        right = int(text.strip() == question.answer)
        language = question.language
        for key in ("all", language, f"{language} {question.category}"):
            had = counts.get(key, (0, 0))
            counts[key] = (had[0] + right, had[1] + 1)
    return dict(sorted(counts.items()))


def report(counts: dict[str, tuple[int, int]]) -> str:
    """The score as a small table."""
    return "\n".join(
        f"  {key:16} {right:4d} / {total:4d}  {right / total:6.1%}" for key, (right, total) in counts.items()
    )


def main(arguments: Iterable[str] | None = None) -> None:
    """Command line: prints a table for people, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--no-system", action="store_true", help="ask without a system prompt")
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    questions = held_out()
    answers = answer(model, tokenizer, [q.messages for q in questions], None if options.no_system else SYSTEM)
    if options.show:
        for question, text in zip(questions, answers, strict=True):
            if text.strip() != question.answer:
                print(f"[{question.language} {question.intent}] {question.messages[-1]} -> {text}")
    counts = score(questions, answers)
    print(report(counts))
    print(json.dumps({key: round(right / total, 4) for key, (right, total) in counts.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
