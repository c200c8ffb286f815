"""`scripts/train`: a prepared folder becomes a model folder. From scratch, full or LoRA fine-tuning, or DPO."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.command import Progress, conclude
from training.errors import StepFailed
from training.folders import read_manifest, replace_folder, write_json, write_manifest
from training.processes import leave, world_rank

PROGRAM = "train"
EMBEDDED = Path(__file__).parent.parent / "model"
METHODS = ("scratch", "full", "lora", "dpo")
RATES = {"scratch": 3e-3, "full": 2e-5, "lora": 2e-4, "dpo": 5e-6}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/train",
        description=(__doc__ or "").splitlines()[0],
        epilog="Killed at any moment, the same command goes on from its last checkpoint, to the same weights.",
    )
    made.add_argument("data", nargs="?", type=Path, help="a folder that scripts/prepare made")
    made.add_argument("--out", type=Path, help="the model folder to write")
    made.add_argument(
        "--embedded",
        action="store_true",
        help="make the model that the repository carries: data, tokenizer, weights, scores",
    )
    made.add_argument("--method", choices=METHODS, default="lora", help="default: %(default)s")
    made.add_argument("--base", type=Path, help="the model folder to start from; not for scratch")
    made.add_argument("--steps", type=int, help="updates of the weights; default: one pass over the data")
    made.add_argument(
        "--rows",
        type=int,
        default=8,
        help="packed rows a step, over all processes (pairs for dpo); default: %(default)s",
    )
    made.add_argument("--learning-rate", type=float, help="peak; default: by method")
    made.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    made.add_argument(
        "--width",
        type=int,
        default=256,
        help="of a model from scratch (the embedded one too), a multiple of 64; default: %(default)s",
    )
    made.add_argument("--layers", type=int, default=6, help="of a model from scratch; default: %(default)s")
    made.add_argument("--lora-rank", type=int, default=16, help="default: %(default)s")
    made.add_argument("--bf16", action="store_true", help="compute in bfloat16; the weights stay in float32")
    made.add_argument("--gradient-checkpointing", action="store_true", help="less memory for more time")
    made.add_argument(
        "--compile", action="store_true", help="torch.compile: faster after a minute or so; needs a C++ compiler"
    )
    made.add_argument("--fsdp", action="store_true", help="shard weights over the processes that torchrun started")
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    made.add_argument("--checkpoint-every", type=int, default=100, metavar="STEPS", help="default: %(default)s")
    made.add_argument("--threads", type=int, help="of the CPU; default: all")
    job = made.add_argument_group("SageMaker")
    job.add_argument("--sagemaker", action="store_true", help="run this very command as a training job")
    job.add_argument("--instance-type", default="ml.g6.xlarge", help="default: %(default)s")
    job.add_argument("--instances", type=int, default=1, help="default: %(default)s")
    job.add_argument("--role", help="ARN of the role that the job takes")
    job.add_argument("--bucket", help="S3 bucket for data, checkpoints and the model")
    job.add_argument("--image", help="training image; default: AWS's for PyTorch, of the SDK's choice")
    job.add_argument("--max-hours", type=float, default=12, help="default: %(default)s")
    job.add_argument("--on-demand", action="store_true", help="no spot capacity")
    return made


def main(given: Sequence[str] | None = None) -> int:
    """The command's exit status."""
    options = parser().parse_args(given)
    if options.sagemaker:
        from training import sagemaker_job

        return conclude(PROGRAM, lambda: sagemaker_job.submit(options, list(sys.argv[1:] if given is None else given)))
    return conclude(PROGRAM, lambda: train(options))


def train(options: argparse.Namespace) -> int:
    """Trains as asked and writes the model folder."""
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    _check(options)
    progress = Progress(PROGRAM)
    if options.embedded:
        from training.embedded import publish
        from training.embedded.recipe import STEPS, Plan

        plan = Plan(options.steps or STEPS, options.seed, options.width, options.layers, options.checkpoint_every)
        publish.make(options.out or EMBEDDED, plan, progress)
        return 0
    from training import methods

    out = options.out.resolve()
    partial = out.with_name(f".{out.name}.partial")
    manifest = read_manifest(options.data, "prepared")
    made = methods.run(options, manifest, partial, progress)
    if world_rank() == 0:
        finish(partial, out, options.data, options.method, str(options.base) if options.base else None, manifest, made)
        progress.say(f"wrote {out}")
    return 0


def finish(
    partial: Path, out: Path, data: Path, method: str, base: str | None, manifest: dict[str, Any], made: dict[str, Any]
) -> None:
    """Writes training.json and the manifest, drops the checkpoints and puts the folder in place."""
    from training.methods import describe

    told = describe(method, base, str(data), data / "manifest.json", manifest.get("licence"), made)
    write_json(partial / "training.json", told)
    shutil.rmtree(partial / "checkpoints", ignore_errors=True)
    write_manifest(partial, "model", [data], settings=made["settings"], counts={})
    replace_folder(partial, out)


def _check(options: argparse.Namespace) -> None:
    for name in ("steps", "rows", "checkpoint_every", "layers", "lora_rank"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise StepFailed(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    if options.width % 64 or options.width < 64:
        raise StepFailed(f"--width must be a multiple of 64, not {options.width}")
    if options.embedded:
        if options.compile:
            raise StepFailed("--embedded is one recipe, for machines without a compiler too; leave out --compile")
        return
    if options.data is None or options.out is None:
        raise StepFailed("say what to train on and where to write: scripts/train PREPARED --out MODEL, or --embedded")
    if (options.method == "scratch") != (options.base is None):
        raise StepFailed(
            "a model from scratch takes no --base"
            if options.base
            else f"--method {options.method} needs --base: the model folder to start from"
        )
    if options.fsdp and options.method in ("lora", "dpo"):
        raise StepFailed(
            f"--fsdp shards a whole model's weights; --method {options.method} trains a small adapter: leave it out"
        )
    if options.base is not None and not (options.base / "config.json").is_file():
        raise StepFailed(f"{options.base} is no model folder: it has no config.json")


if __name__ == "__main__":
    leave(main())
