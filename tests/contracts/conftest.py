"""Each store twice: the stand-in, and the real adapter on moto in process. Every test here runs on both."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parley.aws.table import Table
from scripts.local.stand_in.sqs import Sqs
from scripts.local.stand_in.table import MemoryTable

RESOURCES = Path(__file__).parents[2] / "chalice-app/.chalice/resources.json"


class Clock:
    """Epoch seconds that tests move."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class OneAtATime:
    """A client whose requests are served one after the other, as the emulator does: moto in process tears them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(*names: str, **parameters: Any) -> Any:
            with self._lock:
                return getattr(self._client, operation)(*names, **parameters)

        return call


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Moto in this process; no real account can be reached."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


def create_table(client: Any, name: str = "parley") -> str:
    """The table as the stack's template describes it."""
    properties = json.loads(RESOURCES.read_text())["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    client.create_table(TableName=name, **{part: properties[part] for part in wanted})
    return name


@pytest.fixture(params=["stand-in", "dynamodb"])
def table(request: pytest.FixtureRequest, clock: Clock) -> Any:
    if request.param == "stand-in":
        return MemoryTable(clock)
    request.getfixturevalue("aws")
    client = boto3.client("dynamodb")
    return Table(client, create_table(client), clock)


@pytest.fixture(params=["stand-in", "sqs"])
def queues(request: pytest.FixtureRequest) -> Callable[..., tuple[Any, str]]:
    """Makes a queue and says how to reach it: (client, url). `most_receives` gives it the dead-letter queue `dead`."""
    if request.param == "stand-in":
        sqs = Sqs()

        def stand_in(name: str, visibility: int = 30, most_receives: int = 0, dead: str = "") -> tuple[Any, str]:
            return sqs, sqs.create(name, visibility, most_receives or 5, dead or None)

        return stand_in
    request.getfixturevalue("aws")
    client = boto3.client("sqs")

    def make(name: str, visibility: int = 30, most_receives: int = 0, dead: str = "") -> tuple[Any, str]:
        attributes = {"VisibilityTimeout": str(visibility)}
        if name.endswith(".fifo"):
            attributes |= {
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
            }
        if dead:
            found = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": found, "maxReceiveCount": most_receives})
        return client, client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    return make
