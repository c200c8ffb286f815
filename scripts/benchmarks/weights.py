"""`scripts/bench weights`: what each precision of the weights costs in quality and memory, and its speed.

Quality is the perplexity of the held-out questions' right answers: lower is better, and the ratio to the first row is
the loss. Speed is greedy decoding of one sequence. A precision that this machine cannot have says why.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = ("float32", "bfloat16", "int8", "fp8")


def main(arguments: list[str]) -> int:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench weights", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default=str(ROOT / "inference/model"), help="a folder or hub id")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--tokens", type=int, default=64, help="decoded for the speed, three times")
    given = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT / "inference"))
    rows = []
    for precision in given.precisions:
        print(f"measuring {precision}", file=sys.stderr)
        rows.append(measure(given.model, given.device, precision, given.tokens))
    print(f"{'weights':10}{'perplexity':>12}{'ratio':>8}{'MiB':>8}{'tokens/s':>10}")
    base = next((row["perplexity"] for row in rows if "perplexity" in row), math.nan)
    for row in rows:
        if "why" in row:
            print(f"{row['weights']:10} {row['why']}")
            continue
        row["ratio"] = round(row["perplexity"] / base, 4)
        print("{weights:10}{perplexity:12.4f}{ratio:8.4f}{mib:8.1f}{tokens_per_second:10.1f}".format(**row))
    print(json.dumps({"benchmark": "weights", "model": given.model, "device": given.device, "rows": rows}))
    return 0


def measure(name: str, device: str, precision: str, tokens: int) -> dict[str, Any]:
    """One row: perplexity, MiB of weights, tokens a second; or why it cannot be had."""
    import torch
    import weights
    from training.evaluate import SETS, read_items
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantised = precision if precision in ("int8", "fp8") else None
    try:
        if quantised:
            weights.check(quantised, device)
    except weights.CannotQuantise as error:
        return {"weights": precision, "why": str(error)}
    plain = torch.float32 if device == "cpu" else torch.bfloat16
    model = weights.load_weights(AutoModelForCausalLM, name, plain if quantised else getattr(torch, precision), device)
    if quantised:
        weights.quantise(model, quantised)
    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    return {
        "weights": precision,
        "perplexity": round(
            perplexity(model, [dialogue(tokenizer, item) for item in read_items(SETS / "about.jsonl")]), 4
        ),
        "mib": round(weights.weight_bytes(model) / 2**20, 1),
        "tokens_per_second": round(speed(model, tokens), 1),
    }


def dialogue(tokenizer: Any, item: dict[str, Any]) -> tuple[list[int], int]:
    """The ids of a chat that ends with the item's answer, and how many of them come before it."""
    answer = item["reference"]
    prompt = tokenizer.apply_chat_template(item["messages"], tokenize=False, add_generation_prompt=True)
    before: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return before + after, len(before)


def perplexity(model: Any, dialogues: list[tuple[list[int], int]]) -> float:
    """exp of the mean loss of the answers' tokens."""
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for ids, before in dialogues:
            given = torch.tensor([ids], device=model.device)
            logits = model(input_ids=given, use_cache=False).logits[0, before - 1 : -1].float()
            total += float(torch.nn.functional.cross_entropy(logits, given[0, before:], reduction="sum"))
            count += len(ids) - before
    return math.exp(total / count)


def speed(model: Any, tokens: int) -> float:
    """Tokens a second of one sequence, the best of three."""
    import torch

    prompt = torch.arange(1, 17, device=model.device)[None]
    best = math.inf
    for _ in range(3):
        begun = time.perf_counter()
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
        best = min(best, time.perf_counter() - begun)
    return tokens / best
