"""The ways of training: from scratch, the whole model, a LoRA adapter, preferences (DPO). Knows no command line."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training import trainer
from training.command import Progress
from training.errors import StepFailed
from training.folders import git_revision, sha256
from training.packed import PackedRows
from training.prepare.examples import ExampleMaker
from training.prepare.packing import pack, save
from training.processes import world_rank
from training.records import Malformed, read_records, texts

SCRATCH_CONTEXT = 1024


def run(options: argparse.Namespace, manifest: dict[str, Any], partial: Path, progress: Progress) -> dict[str, Any]:
    """Trains by `options.method` into `partial`; gives what training.json says of it."""
    partial.mkdir(parents=True, exist_ok=True)
    method: Callable[..., dict[str, Any]] = {"scratch": _scratch, "full": _tuned, "lora": _tuned, "dpo": _preferences}[
        options.method
    ]
    return method(options, manifest, partial, progress)


def settings_of(options: argparse.Namespace, rows: int) -> trainer.Settings:
    """The settings that the command line asks for; without --steps one pass over `rows`."""
    from training.train import RATES

    return trainer.Settings(
        steps=options.steps or max(1, rows // options.rows),
        rows=options.rows,
        learning_rate=options.learning_rate or RATES[options.method],
        seed=options.seed,
        optimizer="muon" if options.method == "scratch" else "adamw",
        bf16=options.bf16,
        gradient_checkpointing=options.gradient_checkpointing,
        checkpoint_every=options.checkpoint_every,
        device=options.device,
        fsdp=options.fsdp,
        compile=options.compile,
    )


def load_tokenizer(base: Path) -> Any:
    """The base model's tokenizer. Raises StepFailed when it has no chat template."""
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    if not tokenizer.chat_template:
        raise StepFailed(f"the tokenizer in {base} has no chat template; add chat_template.jinja to that folder")
    return tokenizer


def load_model(base: Path, **more: Any) -> Any:
    """The base model in float32. Raises StepFailed when its files are cut short."""
    try:
        return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **more)
    except Exception as error:  # the libraries beneath raise a dozen kinds for a broken file
        raise StepFailed(
            f"{base} cannot be loaded ({' '.join(str(error).split())[:160]}); copy the model again"
        ) from None


def _packed(data: Path) -> PackedRows:
    path = data / "packed" / "train.safetensors"
    if not path.is_file():
        raise StepFailed(f"{data} has no packed/train.safetensors; run scripts/prepare with this model's tokenizer")
    return PackedRows(path)


def _scratch(
    options: argparse.Namespace, manifest: dict[str, Any], partial: Path, progress: Progress
) -> dict[str, Any]:
    """A new tokenizer from the training texts, and a Qwen2 model that begins by copying (see architecture.py)."""
    from training.embedded.architecture import build_model
    from training.embedded.tokenizer import train_tokenizer

    progress.say("training the tokenizer")
    torch.manual_seed(options.seed)
    train_file = options.data / "train.jsonl"
    tokenizer = train_tokenizer(text for record in read_records(train_file) for text in texts(record))
    maker, examples = ExampleMaker(tokenizer, str(options.out)), []
    for record in read_records(train_file):
        with contextlib.suppress(Malformed):  # too long for the context: prepare has said so where it packed
            examples += maker.examples(record, SCRATCH_CONTEXT)
    if not examples:
        raise StepFailed(f"{train_file} has no conversation that fits into {SCRATCH_CONTEXT} tokens; collect more")
    path = partial / f"train-{world_rank()}.safetensors"  # processes beside each other write alike
    save(pack(examples, SCRATCH_CONTEXT, maker.padding, options.seed), path)
    rows = PackedRows(path)
    model = build_model(tokenizer, options.width, options.layers, 2 * options.width)
    settings = settings_of(options, len(rows))
    log = trainer.run(model, rows, partial, settings, progress)
    path.unlink(missing_ok=True)
    return written(model, tokenizer, partial, settings, log)


def _tuned(options: argparse.Namespace, manifest: dict[str, Any], partial: Path, progress: Progress) -> dict[str, Any]:
    tokenizer = load_tokenizer(options.base)
    known = (manifest.get("tokenizer") or {}).get("sha256")
    if known and (options.base / "tokenizer.json").is_file() and sha256(options.base / "tokenizer.json") != known:
        raise StepFailed(
            f"{options.data} was prepared with another tokenizer than {options.base}'s; prepare it again with that"
        )
    rows = _packed(options.data)
    settings = settings_of(options, len(rows))
    torch.manual_seed(options.seed)
    model = load_model(options.base)
    if options.method == "lora":
        model = _with_adapter(model, options.lora_rank)
    log = trainer.run(model, rows, partial, settings, progress)
    if options.method == "lora" and world_rank() == 0:
        model.save_pretrained(partial / "adapter")
        model = model.merge_and_unload()
    return written(model, tokenizer, partial, settings, log)


def _with_adapter(model: Any, rank: int) -> Any:
    from peft import get_peft_model

    made = get_peft_model(model, lora_config(rank))
    made.enable_input_require_grads()  # else gradient checkpointing finds nothing to learn beneath frozen weights
    return made


def lora_config(rank: int) -> Any:
    """Adapters of this rank on every linear layer."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def _preferences(
    options: argparse.Namespace, manifest: dict[str, Any], partial: Path, progress: Progress
) -> dict[str, Any]:
    """DPO over the pairs from users' thumbs, through an adapter that is merged at the end."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    tokenizer = load_tokenizer(options.base)
    pairs = _pairs(options.data / "preferences.jsonl")
    if len(pairs) < options.rows:
        raise StepFailed(
            f"{options.data} has {len(pairs)} preferences, a step takes {options.rows}; collect more or lower --rows"
        )
    settings = settings_of(options, len(pairs))
    torch.manual_seed(options.seed)
    model = load_model(options.base)
    told = DPOConfig(
        **trainer.arguments(
            settings,
            partial,
            warmup_steps=max(1, round(settings.warm_up * settings.steps)),
            max_length=getattr(model.config, "max_position_embeddings", None),
        )
    )
    made: Any = DPOTrainer(
        model=model, args=told, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer,
        peft_config=lora_config(options.lora_rank), callbacks=[trainer.Watch(progress, settings.rows)],
    )  # fmt: skip
    log = trainer.resume(made, partial)
    return written(made.model.merge_and_unload(), tokenizer, partial, settings, log)


def _pairs(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise StepFailed(f"{path} is missing; run scripts/prepare on conversations with feedback")
    pairs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        pair = json.loads(line)
        missing = [name for name in ("prompt", "chosen", "rejected") if name not in pair]
        if missing:
            raise StepFailed(f"{path}:{number} lacks {', '.join(missing)}; make the folder again with scripts/prepare")
        pairs.append({name: pair[name] for name in ("prompt", "chosen", "rejected")})
    return pairs


def describe(
    method: str, base: str | None, data: str, manifest: Path, licence: str | None, made: dict[str, Any]
) -> dict[str, Any]:
    """What training.json holds: what the model was made from, and what `written` gave. `manifest` is that of `data`."""
    return {
        "format": 1,
        "base_model": base,
        "method": method,
        "data": {"path": data, "sha256": sha256(manifest)},
        "licence": licence,
        "git_revision": git_revision(),
        **made,
    }


def written(
    model: Any, tokenizer: Any, partial: Path, settings: trainer.Settings, log: list[dict[str, Any]]
) -> dict[str, Any]:
    """Saves model, tokenizer and loss plot; gives the run's entry for training.json."""
    model.config.use_cache = True
    if settings.fsdp:
        model = _gathered(model)
    if world_rank() == 0:
        save_model(model, tokenizer, partial)
        trainer.write_loss(partial, log)
    run = {"seed": settings.seed, "steps": settings.steps, "loss": log[-1]["loss"] if log else None}
    losses = [[entry["step"], entry["loss"]] for entry in log]
    return {"settings": trainer.record(settings), "runs": [run], "losses": losses}


def _gathered(model: Any) -> Any:
    """On the first process the model in one piece, from the parts that all processes hold: all must call this."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if world_rank() != 0:
        return model
    whole = AutoModelForCausalLM.from_config(model.config)  # type: ignore[no-untyped-call]
    whole.load_state_dict(weights)
    whole.generation_config = model.generation_config
    return whole


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights in bfloat16, configuration and tokenizer."""
    model.set_attn_implementation("sdpa")
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
