"""The training job: what is sent to SageMaker, and what the container makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from training import job, sagemaker_job, train

REQUEST = Path(__file__).parent / "sagemaker_request.json"
GIVEN = ["prepared", "--out", "better", "--method", "full", "--base", "qwen", "--fsdp", "--bf16", "--rows=16"]
GIVEN += ["--sagemaker", "--instances", "2", "--instance-type", "ml.g6.12xlarge"]
GIVEN += ["--role", "arn:aws:iam::123456789012:role/trainer", "--bucket", "parley-123456789012"]


def definition(*more: str) -> dict[str, Any]:
    given = [*GIVEN, *more]
    return sagemaker_job.definition(train.parser().parse_args(given), given, "eu-central-1")


def test_the_job_runs_the_same_command_on_spot_capacity_with_checkpoints_in_s3() -> None:
    made = definition()
    assert json.loads(made["environment"][job.ARGUMENTS]) == ["--method", "full", "--fsdp", "--bf16", "--rows=16"]
    assert made["compute"]["enable_managed_spot_training"]
    assert made["compute"]["instance_count"] == 2
    assert made["stopping"]["max_wait_time_in_seconds"] >= made["stopping"]["max_runtime_in_seconds"]
    assert made["checkpoints"] == {
        "s3_uri": "s3://parley-123456789012/training/better/checkpoints",
        "local_path": "/opt/ml/checkpoints",
    }
    assert (sagemaker_job.SOURCE / made["source"]["entry_script"]).is_file()
    assert (sagemaker_job.SOURCE / made["source"]["requirements"]).is_file()
    assert made["image"].startswith("763104351884.dkr.ecr.eu-central-1.")


def test_on_demand_capacity_is_not_waited_for() -> None:
    made = definition("--on-demand")
    assert not made["compute"]["enable_managed_spot_training"]
    assert "max_wait_time_in_seconds" not in made["stopping"]


def test_the_container_gives_the_command_its_own_folders() -> None:
    environment = {**definition()["environment"], "SM_CHANNEL_PREPARED": "/in/prepared", "SM_CHANNEL_BASE": "/in/base"}
    options = train.parser().parse_args(job.arguments(environment, Path("/kept")))
    assert (options.data, options.out, options.base) == (Path("/in/prepared"), Path("/kept/model"), Path("/in/base"))
    assert (options.method, options.fsdp, options.bf16, options.rows) == ("full", True, True, 16)
    assert not options.sagemaker


def test_the_request_that_the_sdk_made_of_it_is_one_that_sagemaker_knows() -> None:
    """`sagemaker_request.json` is what ModelTrainer (sagemaker-train 1.27) sent for this definition."""
    sent = json.loads(REQUEST.read_text("utf-8"))
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert not ParamValidator().validate(sent, model.operation_model("CreateTrainingJob").input_shape).has_errors()
    made = definition()
    assert sent["Environment"] == made["environment"]
    assert sent["CheckpointConfig"] == {"S3Uri": made["checkpoints"]["s3_uri"], "LocalPath": "/opt/ml/checkpoints"}
    assert sent["EnableManagedSpotTraining"] is True
    assert sent["StoppingCondition"] == {
        "MaxRuntimeInSeconds": made["stopping"]["max_runtime_in_seconds"],
        "MaxWaitTimeInSeconds": made["stopping"]["max_wait_time_in_seconds"],
    }
    assert sent["ResourceConfig"]["InstanceCount"] == 2
    assert {channel["ChannelName"] for channel in sent["InputDataConfig"]} >= {"prepared", "base", "code"}


@pytest.mark.parametrize(
    ("left_out", "said"), [("--role", "needs --role"), ("--bucket", "needs --bucket"), ("--fsdp", "by --fsdp")]
)
def test_a_job_that_lacks_something_is_refused(left_out: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    at = GIVEN.index(left_out)
    assert train.main(GIVEN[:at] + GIVEN[at + (1 if left_out == "--fsdp" else 2) :]) == 2
    assert said in capsys.readouterr().err


def test_without_the_sdk_one_line_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("botocore")
    try:
        import sagemaker  # noqa: F401
    except ImportError:
        assert train.main(GIVEN) == 2
        assert "sagemaker-requirements.txt" in capsys.readouterr().err
    else:
        pytest.skip("the SDK is installed here")
