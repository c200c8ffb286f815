"""transformers' Trainer set up for packed rows: resumable after a kill at any moment, with progress and a loss plot.

Every way of training goes through `run`; what differs is the model and the data. Starts alone, or under torchrun.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from training import attention, charts
from training.command import Progress
from training.errors import StepFailed
from training.folders import write_file, write_json
from training.optimizer import Muon
from training.packed import PackedRows, collate
from training.processes import world_rank, world_size

COMPLETE = "complete.json"
"""Last file of a checkpoint: the sizes of all others. A checkpoint without it was cut short by a kill."""

STEPS_TOLD = 200
"""Points of the loss plot, at most about."""


@dataclass(frozen=True)
class Settings:
    """How to train. `rows` are packed rows a step over all processes; a row has the prepared context's tokens."""

    steps: int
    rows: int
    learning_rate: float
    warm_up: float = 0.03
    decay: float = 0.3
    """Shares of the steps in which the rate rises, and falls to nothing at the end; between them it stays."""

    seed: int = 1
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    bf16: bool = False
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100
    device: str = "auto"
    fsdp: bool = False
    compile: bool = False
    loss_every: int = 0
    """Steps between two points of the loss; 0 for about `STEPS_TOLD` points."""


def rate(step: int, settings: Settings) -> float:
    """The learning rate at a step as a share of its peak: up, level, down (a trapezoid)."""
    rising = max(1, round(settings.warm_up * settings.steps))
    falling = max(1, round(settings.decay * settings.steps))
    return max(0.0, min(1.0, (step + 1) / rising, (settings.steps - step) / falling))


def arguments(settings: Settings, work: Path, **more: Any) -> dict[str, Any]:
    """What every Trainer here is given, TRL's included."""
    processes = world_size()
    if settings.rows % processes:
        raise StepFailed(f"--rows {settings.rows} cannot be shared by {processes} processes; give a multiple")
    if settings.fsdp and processes == 1:
        raise StepFailed(
            "--fsdp shards a model over processes; start it by torchrun --nproc-per-node GPUS, or leave it out"
        )
    cuda = settings.device == "cuda" or (settings.device == "auto" and _has_cuda())
    together = {"ddp_backend": "nccl" if cuda else "gloo", "ddp_find_unused_parameters": False} if processes > 1 else {}
    fsdp: dict[str, Any] = (
        {"fsdp": True, "fsdp_config": {"version": 2, "reshard_after_forward": True}} if settings.fsdp else {}
    )
    return {
        "output_dir": str(work / "checkpoints"),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.rows // processes,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": settings.bf16,
        "activation_checkpointing": settings.gradient_checkpointing,
        "torch_compile": settings.compile,
        "use_cpu": not cuda,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,
        "logging_steps": settings.loss_every or max(1, settings.steps // STEPS_TOLD),
        "logging_nan_inf_filter": False,
        "dataloader_num_workers": 2 if cuda else 0,  # on a CPU they would take the cores that train
        "dataloader_pin_memory": cuda,
        "dataloader_drop_last": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": [],
        **together,
        **fsdp,
        **more,
    }


def run(
    model: PreTrainedModel, rows: PackedRows, work: Path, settings: Settings, progress: Progress
) -> list[dict[str, Any]]:
    """Trains `model` in place; gives the log: steps with loss and learning rate.

    Goes on from the last whole checkpoint in `work`. Raises StepFailed when the data has too few rows for a step.
    """
    if len(rows) < settings.rows:
        raise StepFailed(
            f"the data fills {len(rows)} rows, a step takes {settings.rows}; prepare more, or lower --rows"
        )
    _check_fit(model, rows)
    trainer = PackedTrainer(model, rows, work, settings)
    trainer.add_callback(Watch(progress, settings.rows * rows.context))
    if settings.fsdp and not trainer.accelerator.is_fsdp2:
        raise StepFailed("--fsdp shards over GPUs that torchrun gives a process each; leave it out on a CPU")
    return resume(trainer, work)


def resume(trainer: Trainer, work: Path) -> list[dict[str, Any]]:
    """Trains from the last whole checkpoint, or from the start; gives the log."""
    checkpoint = last_checkpoint(work / "checkpoints")
    _check_agreement(checkpoint, work)
    trainer.remove_callback(PrinterCallback)  # Watch tells what it would print
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise _explained(error) from error
    return [entry for entry in trainer.state.log_history if "loss" in entry]


class PackedTrainer(Trainer):
    """The Trainer of packed rows, with our attention, our optimizers and our schedule."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: PackedRows,
        work: Path,
        settings: Settings,
        collator: Any = collate,
        **more: Any,
    ) -> None:
        """`more` are further TrainingArguments."""
        self.settings = settings
        attention.register()
        model.set_attn_implementation(attention.NAME)
        model.config.use_cache = False
        told = TrainingArguments(**arguments(settings, work, **more))
        super().__init__(model=model, args=told, train_dataset=rows, data_collator=collator)

    def create_optimizer(self, model: Any = None) -> Any:
        """Muon where it is asked for; else transformers' own choice."""
        if self.optimizer is None and self.settings.optimizer == "muon":
            trained: Any = self.model if model is None else model
            self.optimizer = Muon(trained, lr=self.settings.learning_rate)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The trapezoid of `rate`."""
        from torch.optim.lr_scheduler import LambdaLR

        if self.lr_scheduler is None:
            chosen: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(chosen, lambda step: rate(step, self.settings))
        return self.lr_scheduler


class Watch(TrainerCallback):
    """Says how far training is, marks whole checkpoints, and stops at a loss that is no number."""

    def __init__(self, progress: Progress, tokens: int) -> None:
        self._progress = progress
        self._tokens = tokens
        self._clock: Callable[[], float] = time.monotonic
        self._begun: tuple[float, int] | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Takes the time of the first step."""
        if self._begun is None:
            self._begun = (self._clock(), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """One line of progress; StepFailed for a loss that is no number."""
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        if not math.isfinite(logs["loss"]):
            raise StepFailed(f"the loss became {logs['loss']} at step {state.global_step}; lower --learning-rate")
        begun, first = self._begun or (self._clock(), 0)
        speed = (state.global_step - first) * self._tokens / max(1e-9, self._clock() - begun)
        self._progress(
            f"step {state.global_step:,} of {state.max_steps:,}, loss {logs['loss']:.4f}, {speed:,.0f} tokens/s"
        )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Marks the checkpoint as whole."""
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def mark_complete(checkpoint: Path) -> None:
    """Writes the checkpoint's last file: the sizes of all others."""
    sizes = {path.name: path.stat().st_size for path in sorted(checkpoint.iterdir()) if path.is_file()}
    write_json(checkpoint / COMPLETE, sizes)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file has the size that it was written with."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text("utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; those after it, cut short by a kill, are removed. None to begin at the start.

    Raises StepFailed when there are finished checkpoints, and all of them were damaged since.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    whole = next((path for path in found if is_whole(path)), None)
    damaged = [path for path in found if (path / COMPLETE).exists() and not is_whole(path)]
    if whole is None and damaged:
        raise StepFailed(f"the checkpoint {damaged[0]} is cut short or changed; delete {folder} to begin again")
    if world_rank() == 0:
        for path in found:
            if not is_whole(path):
                shutil.rmtree(path, ignore_errors=True)
    return whole


def _check_agreement(checkpoint: Path | None, work: Path) -> None:
    """All processes go on from one checkpoint: machines that do not share a disk may hold different ones."""
    if world_size() == 1:
        return
    from torch import distributed

    found: list[Any] = [None] * world_size()
    distributed.all_gather_object(found, checkpoint.name if checkpoint else "none")
    if len(set(found)) > 1:
        told = ", ".join(f"process {rank} {name}" for rank, name in enumerate(found))
        raise StepFailed(f"checkpoints differ ({told}); copy the newest to {work} of every machine, or delete them all")


def write_loss(folder: Path, log: list[dict[str, Any]]) -> None:
    """`loss.svg`: the loss over the steps."""
    points = [(float(entry["step"]), float(entry["loss"])) for entry in log]
    write_file(folder / "loss.svg", charts.lines({"loss": points}, "steps", "nats a token").encode())


def record(settings: Settings) -> dict[str, Any]:
    """The settings as they go into training.json."""
    return asdict(settings)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _check_fit(model: PreTrainedModel, rows: PackedRows) -> None:
    most = getattr(model.config, "max_position_embeddings", None)
    if most is not None and rows.context > most:
        raise StepFailed(
            f"the data was packed for a context of {rows.context:,} tokens and the model has {most:,}; "
            f"run scripts/prepare with --context {most}"
        )
    embeddings: Any = model.get_input_embeddings()
    if rows.largest_id >= embeddings.num_embeddings:
        raise StepFailed("the data has token ids that the model lacks; prepare it with this model's tokenizer")


def _explained(error: Exception) -> Exception:
    """The error as one line where its cause is known: torch and safetensors hide a full disk in other words."""
    text = str(error)
    if "No space left" in text or "PytorchStreamWriter" in text or "File too large" in text:
        return StepFailed("a checkpoint could not be written: the disk is full; make room and run it again to go on")
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return StepFailed(f"torch.compile failed ({text.partition(chr(10))[0]}); leave out --compile")
    if "out of memory" in text.lower():
        return StepFailed("the memory is full; lower --rows or add --gradient-checkpointing")
    return error
