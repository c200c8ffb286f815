"""`scripts/bench training`: tokens a second, as a share of the machine's matmul peak, ours and the plain Trainer's.

Both train the same untrained model on the same conversations, in the same run: ours packed, with logits only where
something is learned; the other one with transformers' Trainer at its defaults, each conversation padded to the longest
of its batch. Only tokens of conversations count, no padding. The peak is that of a matrix product of 1,024 squared in
the type that is trained in, measured here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST_STEPS = 3
"""Steps of each run that are not counted: in them memory is taken and code compiled."""


def main(given: list[str]) -> int:
    """Measures, prints a table and one line of JSON; comes back with the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="of the CPU; default: all cores")
    parser.add_argument("--width", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--layers", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--tokens", type=int, default=60_000, help="of the data; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told; default: %(default)s")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes minutes to start")
    options = parser.parse_args(given)
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = measure(options)
    print(f"{'':34}{'tokens/s':>12}{'of the peak':>14}")
    for row in rows["runs"]:
        print(f"{row['name']:34}{row['tokens_per_second']:12,.0f}{row['mfu']:14.1%}")
    print(f"ratio {rows['ratio']:.2f}; peak {rows['peak'] / 1e9:,.0f} GFLOP/s in {rows['type']}")
    print(json.dumps({"benchmark": "training", **rows}))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The runs, each the median of the rounds; they take turns, so that a busy moment hits both."""
    from training.command import Progress
    from training.embedded import recipe

    progress = Progress("bench")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "prepared"
        recipe.prepare(data, options.tokens, 1, progress, tokenizer_dialogues=400, validation=20)
        kinds: dict[str, Callable[[], float]] = {
            "plain Trainer, its defaults": lambda: plain(data, options),
            "ours: packed, bfloat16": lambda: ours(data, options, compiled=False),
        }
        if options.compile:
            kinds["ours, compiled"] = lambda: ours(data, options, compiled=True)
        speeds: dict[str, list[float]] = {name: [] for name in kinds}
        peaks = []
        for number in range(options.rounds):
            peaks.append(peak(options.device))
            for name, run in kinds.items():
                speeds[name].append(run())
                progress(f"round {number + 1} of {options.rounds}: {name}, {speeds[name][-1]:,.0f} tokens/s")
        flops = flops_of_token(data, options)
    best = statistics.median(peaks)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    runs = [
        {"name": name, "tokens_per_second": round(speed, 1), "mfu": round(speed * flops / best, 4)}
        for name, speed in medians.items()
    ]
    first, second = list(medians.values())[:2]
    return {"device": options.device, "peak": best, "type": "bfloat16", "runs": runs, "ratio": round(second / first, 3)}


def peak(device: str) -> float:
    """FLOPs a second of a bfloat16 product of 1,024 squared (4,096 on a GPU), the best of 20."""
    import torch

    size = 4096 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    flops: float = 2 * size**3 / best
    return flops


def model_of(data: Path, options: argparse.Namespace) -> Any:
    """The untrained model, always the same."""
    import torch
    from training.embedded.architecture import build_model
    from transformers import AutoTokenizer

    torch.manual_seed(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(data / "tokenizer")
    return build_model(tokenizer, options.width, options.layers, 2 * options.width)


def flops_of_token(data: Path, options: argparse.Namespace) -> float:
    """Six for each parameter of the layers: what must be computed, whatever else is."""
    model = model_of(data, options)
    parameters: int = sum(parameter.numel() for parameter in model.model.layers.parameters())
    return 6.0 * parameters


def ours(data: Path, options: argparse.Namespace, compiled: bool) -> float:
    """Tokens a second of our own set-up."""
    from training.packed import PackedRows, collate
    from training.trainer import PackedTrainer, Settings

    rows = PackedRows(data / "packed" / "train.safetensors")
    steps = min(12, len(rows) // 3)
    settings = Settings(
        steps, rows=3, learning_rate=1e-3, optimizer="muon", bf16=True, device=options.device, compile=compiled
    )
    with tempfile.TemporaryDirectory() as work:
        counted = Counted(lambda batch: int(batch["position_ids"].shape[1]) - padding_of(batch))
        model, collator = model_of(data, options), counted.around(collate)
        return counted.speed(PackedTrainer(model, rows, Path(work), settings, collator, save_strategy="no"))


def plain(data: Path, options: argparse.Namespace) -> float:
    """Tokens a second of transformers' Trainer at its defaults: 8 conversations a step, padded; AdamW; float32."""
    from training.records import read_records
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    tokenizer: Any = AutoTokenizer.from_pretrained(data / "tokenizer")
    found = []
    for record in read_records(data / "train.jsonl"):
        ids = tokenizer.apply_chat_template(record["messages"], tools=record.get("tools"), return_dict=False)
        found.append({"input_ids": ids, "labels": list(ids), "attention_mask": [1] * len(ids)})
    with tempfile.TemporaryDirectory() as work:
        told = TrainingArguments(
            output_dir=work, max_steps=min(20, len(found) // 8), use_cpu=options.device == "cpu", report_to=[],
            save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        counted = Counted(lambda batch: int(batch["attention_mask"].sum()))
        collator = counted.around(DataCollatorForSeq2Seq(tokenizer, padding=True))
        trainer = Trainer(model=model_of(data, options), args=told, train_dataset=found, data_collator=collator)
        return counted.speed(trainer)


def padding_of(batch: dict[str, Any]) -> int:
    """Tokens that fill rows up: id 0 stands for nothing else."""
    return int((batch["input_ids"] == 0).sum())


class Counted:
    """Counts the tokens of the batches that a collator makes, and takes the time between steps."""

    def __init__(self, tokens: Callable[[dict[str, Any]], int]) -> None:
        self._tokens = tokens
        self._counts: list[int] = []

    def around(self, collate: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """The same collator, counting."""

        def counting(rows: Any) -> dict[str, Any]:
            batch = collate(rows)
            self._counts.append(self._tokens(batch))
            return batch

        return counting

    def speed(self, trainer: Any) -> float:
        """Trains, and gives tokens a second after the first steps."""
        from transformers import PrinterCallback, TrainerCallback

        ends: list[float] = []

        class Clock(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                ends.append(time.perf_counter())

        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
        first = max(0, min(FIRST_STEPS, len(ends) - 1) - 1)
        return sum(self._counts[first + 1 : len(ends)]) / (ends[-1] - ends[first])
