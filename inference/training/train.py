"""Trains the embedded model from nothing, in minutes on two CPU cores: `scripts/train --minutes 15`.

Tokenizer and weights both come from generated dialogues; no text is fetched. Serving never imports this.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.batches import batches
from training.dialogues import Generator
from training.evaluate import MODEL, answer, held_out, report, score
from training.optimizer import Muon
from training.publish import RECORD, Run, publish
from training.tokens import CONTEXT, Encoder, train_tokenizer

PEAK_RATE = 3.0e-3
RESUMED_RATE = 2.0e-3
"""Peak when training goes on from weights that know their answers already."""

WARM_UP = 0.03
"""Share of the time in which the learning rate rises; afterwards it falls in a straight line to nothing."""

BATCH_TOKENS = 2048
TOKENIZER_DIALOGUES = 25_000


def build_model(tokenizer: PreTrainedTokenizerFast, width: int = 256, layers: int = 4) -> Qwen3ForCausalLM:
    """An untrained Qwen3-style model: about 4.2 million parameters at the default size, embeddings tied."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        num_key_value_heads=max(1, width // 128),
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def make_tokenizer(seed: int, dialogues: int = TOKENIZER_DIALOGUES) -> PreTrainedTokenizerFast:
    """A tokenizer trained on dialogues of its own seed, so that the training's stream begins fresh."""
    generator = Generator(seed)
    return train_tokenizer(m.text for _ in range(dialogues) for m in generator.dialogue())


def loss_of(model: Qwen3ForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens, in nats. Logits are made only where something is learned."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != -100
    logits = model.lm_head(hidden[learned])
    return functional.cross_entropy(logits.float(), labels[:, 1:][learned])


def rate(progress: float, peak: float = PEAK_RATE) -> float:
    """The learning rate at `progress` from 0 to 1."""
    if progress < WARM_UP:
        return peak * (progress + 0.001) / WARM_UP
    return peak * max(0.0, 1 - progress) / (1 - WARM_UP)


def make_optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    adam = torch.optim.AdamW(others, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [Muon(matrices, lr=PEAK_RATE), adam]


def step(
    model: Qwen3ForCausalLM, optimizers: Sequence[torch.optim.Optimizer], ids: torch.Tensor, labels: torch.Tensor
) -> float:
    """One update in bfloat16 autocast (1.6 times as fast as float32 on the CPU); gives the loss before it."""
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, ids, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


class Interrupt:
    """Ctrl-C or SIGTERM asks for an end after the present step; nothing half-made is left."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def train(
    model: Qwen3ForCausalLM, encoder: Encoder, minutes: float, seed: int, peak: float, interrupt: Interrupt
) -> Run:
    """Trains `model` in place for so many minutes of wall-clock time, printing a progress line every 10 seconds."""
    optimizers = make_optimizers(model)
    model.train()
    start = told = time.monotonic()
    tokens, average, steps = 0, math.nan, 0
    for steps, (ids, labels) in enumerate(batches(Generator(seed + 1), encoder, BATCH_TOKENS, seed), 1):
        seconds = time.monotonic() - start
        progress = seconds / (60 * minutes)
        if progress >= 1 or interrupt.asked:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate(progress, peak)
        loss = step(model, optimizers, ids, labels)
        tokens += int((ids != 0).sum())
        average = loss if math.isnan(average) else 0.98 * average + 0.02 * loss
        if time.monotonic() - told > 10:
            told = time.monotonic()
            speed = tokens / (told - start)
            left = max(0.0, 60 * minutes - (told - start))
            print(f"step {steps}  loss {average:.4f}  {speed:.0f} tokens/s  {left:.0f} s left", flush=True)
    return Run(round((time.monotonic() - start) / 60, 1), seed, steps, tokens, average)


def main(arguments: Iterable[str] | None = None) -> int:
    """Command line. Exit code 0 when a model was saved, 130 when interrupted (nothing is saved then)."""
    parser = argparse.ArgumentParser(prog="scripts/train", description="Train the embedded chat model from nothing.")
    parser.add_argument("--minutes", type=float, default=15.0, help="time for the training proper")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="model folder to go on from, its tokenizer kept; use another seed")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write; replaced as a whole at the end")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.minutes <= 0 or options.threads < 1:
        parser.error(f"--minutes {options.minutes} and --threads {options.threads} must be above zero")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    interrupt = Interrupt()
    earlier: list[Run] = []
    if options.resume:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(options.resume)
        model = Qwen3ForCausalLM.from_pretrained(options.resume, dtype=torch.float32)
        earlier = [Run(**run) for run in json.loads((options.resume / RECORD).read_text("utf-8"))]
    else:
        print("making the tokenizer", flush=True)
        tokenizer = make_tokenizer(options.seed)
        model = build_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)
    peak = RESUMED_RATE if options.resume else PEAK_RATE
    run = train(model, Encoder(tokenizer, dropout=0.06), options.minutes, options.seed, peak, interrupt)
    if interrupt.asked:
        print(f"interrupted after {run.steps} steps; {options.out} is as it was", file=sys.stderr)
        return 130
    # Scored as it will be served: the weights rounded to bfloat16, the arithmetic in float32.
    model = model.bfloat16().eval().float()  # type: ignore[no-untyped-call]
    questions = held_out()
    counts = score(questions, answer(model, tokenizer, [q.messages for q in questions]))
    publish(model, tokenizer, [*earlier, run], counts, options.out)
    print(
        f"{run.steps} steps, {run.tokens} tokens in {run.minutes} minutes, loss {run.loss:.4f}; held out, right / all:"
    )
    print(report(counts))
    print(f"saved {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
