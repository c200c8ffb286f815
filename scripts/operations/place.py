"""Where a deployment's parts are: found by its stage, in an account or in the emulator of scripts/run."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scripts.deployment.account import open_session
from scripts.deployment.failures import BadStack

ROOT = Path(__file__).resolve().parents[2]

LOCAL = "local"
"""The stage that stands for scripts/run, whose resources are named as in a stack called `parley`."""

QUEUES = {"inbox": ".fifo", "replies": "", "outbox": ".fifo"}


@dataclass(frozen=True)
class Queue:
    """One of the three queues and its dead-letter queue: their addresses."""

    name: str
    url: str
    dead_letters_url: str

    @property
    def fifo(self) -> bool:
        """Whether it keeps its groups' order."""
        return bool(QUEUES[self.name])


class Place:
    """A deployment, looked up part by part when a part is asked for. Raises BadStack where there is none."""

    def __init__(self, session: boto3.Session, stage: str) -> None:
        self.session = session
        self.stack = "parley" if stage == LOCAL else f"parley-{stage}"
        self.secrets_path = f"/{self.stack}"
        self.is_local = stage == LOCAL

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs; for scripts/run, what they would be."""
        if self.is_local:
            account = self.session.client("sts").get_caller_identity()["Account"]
            return {"TableName": f"{self.stack}-Table", "BucketName": f"{self.stack}-bucket-{account}"}
        try:
            (found,) = self.session.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                raise self._missing() from None
            raise
        return {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs") or []}

    @property
    def table(self) -> str:
        """The table's name."""
        return self.outputs["TableName"]

    @cached_property
    def queues(self) -> list[Queue]:
        """The three queues."""
        client = self.session.client("sqs")
        try:
            return [
                Queue(
                    name,
                    client.get_queue_url(QueueName=f"{self.stack}-{name}{suffix}")["QueueUrl"],
                    client.get_queue_url(QueueName=f"{self.stack}-{name}-dead-letters{suffix}")["QueueUrl"],
                )
                for name, suffix in QUEUES.items()
            ]
        except client.exceptions.QueueDoesNotExist:
            raise self._missing() from None

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return self.session.client(service)

    def _missing(self) -> BadStack:
        if self.is_local:
            return BadStack("scripts/run is not running at AWS_ENDPOINT_URL; its log folder says where its emulator is")
        return BadStack(
            f"there is no stack {self.stack} in {self.session.region_name}; check --stage and --region, or deploy it"
        )


def lengths(client: Any, url: str) -> tuple[int, int]:
    """How many messages of a queue wait, and how many are in flight, as SQS knew within the last minute."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(told[names[0]]), int(told[names[1]])


def open_place(options: argparse.Namespace) -> Place:
    """The deployment that a command's options name. Raises BadAccount or BadStack."""
    if options.stage == LOCAL and "AWS_ENDPOINT_URL" not in os.environ:
        _enter_local(options.data or ROOT / ".parley")
    return Place(open_session(options.region, options.profile), options.stage)


def _enter_local(data: Path) -> None:
    """Let this process speak with the emulator of the scripts/run that keeps its state in `data`."""
    try:
        addresses = json.loads((data / "addresses.json").read_text())
        cloud, endpoint = str(addresses["cloud"]), str(addresses["endpoint"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise BadStack(f"scripts/run is not running with its state in {data}; start it, or give --data") from None
    os.environ |= {"AWS_ENDPOINT_URL": cloud, "AWS_ENDPOINT_URL_SAGEMAKER": endpoint}
    for name, value in (("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
        os.environ.setdefault(f"AWS_{name}", value)
