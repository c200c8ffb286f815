"""`scripts/train --sagemaker`: the same command as a training job, through the SageMaker SDK's ModelTrainer.

The SDK is large and optional: `pip install -r inference/training/sagemaker-requirements.txt`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.command import Progress
from training.errors import StepFailed
from training.job import ARGUMENTS

SOURCE = Path(__file__).resolve().parent.parent
LEFT_OUT = [".*", "__pycache__", "*.pyc", "model", "sets", "Dockerfile*"]
CHECKPOINTS = "/opt/ml/checkpoints"
IMAGE = "763104351884.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.9-gpu-py312"
"""AWS's PyTorch image; another is named with --image."""

OWN = ("--sagemaker", "--on-demand")
WITH_VALUE = ("--out", "--base", "--instance-type", "--instances", "--role", "--bucket", "--image", "--max-hours")
VOLUME_GB = 200


def submit(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Starts the job and says its name. Raises StepFailed without the SDK, a role or a bucket."""
    check(options)
    try:
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.shapes import CheckpointConfig, OutputDataConfig, StoppingCondition
        from sagemaker.train import ModelTrainer
        from sagemaker.train.configs import Compute, InputData, SourceCode
        from sagemaker.train.distributed import Torchrun
    except ImportError as error:
        raise StepFailed(
            f"--sagemaker needs the SageMaker SDK ({error.name} is missing): "
            "pip install -r inference/training/sagemaker-requirements.txt"
        ) from None
    progress = Progress("train")
    session = Session()
    told = definition(options, given, session.boto_region_name)
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=told["role"],
        base_job_name=told["name"],
        training_image=told["image"],
        source_code=SourceCode(**told["source"]),
        distributed=Torchrun(),
        compute=Compute(**told["compute"]),
        stopping_condition=StoppingCondition(**told["stopping"]),
        checkpoint_config=CheckpointConfig(**told["checkpoints"]),
        output_data_config=OutputDataConfig(**told["output"]),
        environment=told["environment"],
    )
    channels = [InputData(channel_name=name, data_source=place) for name, place in told["channels"].items()]
    progress.say("uploading data and code")
    trainer.train(input_data_config=channels, wait=False, logs=False)
    progress.say(f"started; the model will be under {told['output']['s3_output_path']}")
    return 0


def definition(options: argparse.Namespace, given: Sequence[str], region: str) -> dict[str, Any]:
    """What the job is made of, in plain values under the SDK's names for them."""
    place = f"s3://{options.bucket}/training/{options.out.name}"
    seconds = int(options.max_hours * 3600)
    stopping = {"max_runtime_in_seconds": seconds}
    if not options.on_demand:
        stopping["max_wait_time_in_seconds"] = 2 * seconds  # waiting for spot capacity counts, too
    channels = {"prepared": str(options.data)}
    if options.base:
        channels["base"] = str(options.base)
    return {
        "name": f"parley-{options.method}",
        "role": options.role,
        "image": options.image or IMAGE.format(region=region),
        "source": {
            "source_dir": str(SOURCE),
            "entry_script": "training/job.py",
            "requirements": "training/job-requirements.txt",
            "ignore_patterns": LEFT_OUT,
        },
        "compute": {
            "instance_type": options.instance_type,
            "instance_count": options.instances,
            "volume_size_in_gb": VOLUME_GB,
            "enable_managed_spot_training": not options.on_demand,
        },
        "stopping": stopping,
        "checkpoints": {"s3_uri": f"{place}/checkpoints", "local_path": CHECKPOINTS},
        "output": {"s3_output_path": f"{place}/output"},
        "environment": {ARGUMENTS: json.dumps(passed_on(given, str(options.data)))},
        "channels": channels,
    }


def passed_on(given: Sequence[str], data: str) -> list[str]:
    """The arguments that the job's own `train` gets: all but the places, which differ there, and the job's own."""
    made: list[str] = []
    rest = iter(given)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if name in WITH_VALUE:
            if not equals:
                next(rest, None)
        elif name not in OWN and argument != data:
            made.append(argument)
    return made


def check(options: argparse.Namespace) -> None:
    """Raises StepFailed for what a job cannot be made of."""
    if options.data is None or options.out is None:
        raise StepFailed("a job needs data and a name for its model: scripts/train PREPARED --out NAME --sagemaker")
    for name in ("role", "bucket"):
        if not getattr(options, name):
            raise StepFailed(f"a job needs --{name}")
    if options.embedded:
        raise StepFailed("--embedded is trained here, in three hours; take --sagemaker for a larger model")
    if options.instances < 1 or options.max_hours <= 0:
        raise StepFailed("--instances and --max-hours must be above 0")
    if options.instances > 1 and not options.fsdp:
        raise StepFailed("several instances share one model by --fsdp; add it")
