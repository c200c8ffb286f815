"""The embedded model from nothing, by one command and one seed: data, tokenizer, architecture, settings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2ForCausalLM

from training.command import Progress
from training.embedded.about import About
from training.embedded.architecture import build_model
from training.embedded.desk import Desk
from training.embedded.dialogue import Dialogue, tool_definition
from training.embedded.encoding import encode, text_of, tools_text
from training.embedded.tokenizer import CONTEXT, train_tokenizer
from training.folders import replace_folder, sha256, write_manifest
from training.prepare.examples import Example, example
from training.prepare.packing import pack, save
from training.records import record_id, to_line
from training.trainer import Settings

ABOUT_SHARE = 0.2
"""Share of dialogues about Parley itself and of small talk without a system prompt."""

TOKENIZER_DIALOGUES = 16_000
VALIDATION = 400

ROWS = 4
STEPS = 8_000
"""Of `ROWS` times the context's tokens: 33 million tokens, ninety to a hundred and fifty minutes on two cores."""

SETTINGS: dict[str, Any] = {
    "rows": ROWS, "learning_rate": 3e-3, "warm_up": 0.002, "decay": 0.35, "optimizer": "muon", "bf16": True,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One training of the recipe; the same plan gives the same weights."""

    steps: int = STEPS
    seed: int = 1
    width: int = 256
    layers: int = 6
    checkpoint_every: int = 100


def dialogues(seed: int) -> Iterator[Dialogue]:
    """Dialogues without end: the front desk's, and those about Parley."""
    rng, desk, about = random.Random(seed), Desk(seed), About(seed)
    while True:
        yield about.dialogue() if rng.random() < ABOUT_SHARE else desk.dialogue()


def make_tokenizer(seed: int, count: int = TOKENIZER_DIALOGUES) -> PreTrainedTokenizerFast:
    """A tokenizer trained on dialogues of its own seed."""
    stream = dialogues(seed + 1_000_000)

    def texts() -> Iterator[str]:
        for _ in range(count):
            dialogue = next(stream)
            yield tools_text(map(tool_definition, dialogue.tools))
            yield from map(text_of, dialogue.messages)

    return train_tokenizer(texts())


def prepare(
    out: Path,
    tokens: int,
    seed: int,
    progress: Progress,
    tokenizer_dialogues: int = TOKENIZER_DIALOGUES,
    validation: int = VALIDATION,
) -> None:
    """A prepared folder (see README.md) of about so many tokens, its tokenizer in `tokenizer/`."""
    partial = out.with_name(f".{out.name}.partial")
    (partial / "packed").mkdir(parents=True, exist_ok=True)
    progress.say("training the tokenizer")
    tokenizer = make_tokenizer(seed, tokenizer_dialogues)
    tokenizer.save_pretrained(partial / "tokenizer")
    core, stream = tokenizer.backend_tokenizer, dialogues(seed)
    splits = {}
    for name, most in (("validation", None), ("train", tokens)):
        examples: list[Example] = []
        made = 0
        with (partial / f"{name}.jsonl").open("wb") as lines:
            while (made < most) if most else len(examples) < validation:
                dialogue = next(stream)
                tools = [tool_definition(tool) for tool in dialogue.tools]
                encoded = encode(dialogue.messages, tools, core)
                if len(encoded.ids) > CONTEXT:
                    continue
                lines.write(_line(dialogue, tools, seed, len(examples), name))
                examples.append(example(encoded.ids, encoded.learned))
                made += len(encoded.ids)
                progress(f"generating: {made:,} tokens")
        rows = pack(examples, CONTEXT, int(tokenizer.pad_token_id or 0), seed)
        save(rows, partial / "packed" / f"{name}.safetensors")
        learned = int(rows["loss_mask"].sum())
        splits[name] = {"records": len(examples), "tokens": made, "learned": learned, "rows": len(rows["input_ids"])}
    digest = sha256(partial / "tokenizer" / "tokenizer.json")
    about = {"path": "tokenizer", "sha256": digest, "vocabulary": len(tokenizer)}
    asked = {"embedded": True, "tokens": tokens}
    write_manifest(
        partial, "prepared", [], settings=asked, counts={}, splits=splits, context=CONTEXT, seed=seed, tokenizer=about
    )
    replace_folder(partial, out)


def _line(dialogue: Dialogue, tools: list[dict[str, Any]], seed: int, position: int, split: str) -> bytes:
    uri = f"generated:training.embedded?seed={seed}&split={split}"
    number = record_id(uri, position, {"messages": dialogue.messages})
    record = {
        "id": number, "conversation": number, "source": {"uri": uri, "kind": "generated", "position": position},
        "licence": "Apache-2.0", "consent": None, "language": dialogue.language, "messages": dialogue.messages,
        **({"tools": tools} if tools else {}),
    }  # fmt: skip
    return to_line(record)


def model_for(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Qwen2ForCausalLM:
    """The untrained model, with how it is to answer: greedily."""
    model = build_model(tokenizer, plan.width, plan.layers, 2 * plan.width)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=256,
    )
    return model


def settings(plan: Plan) -> Settings:
    """The recipe's settings for this plan."""
    return Settings(steps=plan.steps, seed=plan.seed, checkpoint_every=plan.checkpoint_every, **SETTINGS)
