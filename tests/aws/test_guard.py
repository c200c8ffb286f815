"""The budget's guard on moto: minutes in the table, the endpoint's bound, a flag, a notice, and the last wake-ups."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from parley.aws.budget import MOST_WAKE_UPS, StackGuard
from parley.aws.secrets import SsmSecrets
from parley.domain.budget import Level
from tests.contracts.conftest import Clock, create_table


@pytest.fixture
def topic(aws: None) -> str:
    create_table(boto3.client("dynamodb"))
    return str(boto3.client("sns").create_topic(Name="alarms")["TopicArn"])


@pytest.fixture
def guard(topic: str, clock: Clock) -> StackGuard:
    return make(clock, topic)


def make(clock: Clock, topic: str, limited: bool = True, client: Callable[[str], Any] = boto3.client) -> StackGuard:
    secrets = SsmSecrets(boto3.client("ssm"), "/parley", clock)
    return StackGuard(
        client, secrets, clock, endpoint="parley", table="parley", secrets_path="/parley", most=3, topic=topic,
        limited=limited,
    )  # fmt: skip


def bound() -> tuple[int, int]:
    client: Any = boto3.client("application-autoscaling")
    (target,) = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return target["MinCapacity"], target["MaxCapacity"]


def test_seconds_add_up_within_a_month_and_begin_anew_with_the_next(guard: StackGuard) -> None:
    guard.add("2026-11", 60)
    assert guard.add("2026-11", 120) == (180.0, Level.OPEN)
    assert guard.add("2026-11", 0) == (180.0, Level.OPEN)
    assert guard.add("2026-12", 0) == (0.0, Level.OPEN)


def test_what_the_owner_was_told_is_remembered_for_the_month(guard: StackGuard) -> None:
    guard.add("2026-11", 60)
    guard.tell("2026-11", Level.WARNED, "text")
    assert guard.add("2026-11", 60) == (120.0, Level.WARNED)


def test_closing_and_opening_move_the_endpoint_s_bound_and_the_flag(
    guard: StackGuard, topic: str, clock: Clock
) -> None:
    assert not guard.closed(clock.now)
    guard.close(clock.now + 1000)
    assert bound() == (0, 0)
    assert make(clock, topic).closed(clock.now), "another process sees it"
    assert not make(clock, topic, limited=False).closed(clock.now)
    assert not make(clock, topic).closed(clock.now + 1000)
    clock.now += 301  # the flag is kept for five minutes by who read it
    assert guard.resting()
    guard.open()
    assert bound() == (0, 3)
    clock.now += 301
    assert not guard.resting()


def test_who_closes_or_opens_knows_it_at_once(guard: StackGuard, clock: Clock) -> None:
    assert not guard.closed(clock.now)  # read, and kept for five minutes
    guard.close(clock.now + 1000)
    assert guard.closed(clock.now)
    guard.open()
    assert not guard.resting()


def test_without_an_endpoint_nothing_runs(guard: StackGuard) -> None:
    assert guard.instances() == 0


def test_an_endpoint_that_cannot_be_asked_is_not_taken_for_one_without_instances(clock: Clock, topic: str) -> None:
    class Throttled:
        def describe_endpoint(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "DescribeEndpoint")

    guard = make(clock, topic, client=lambda service: Throttled())
    with pytest.raises(ClientError):
        guard.instances()


def test_a_flag_that_somebody_broke_closes_nothing(guard: StackGuard, clock: Clock) -> None:
    value = json.dumps({"until": "tomorrow"})
    boto3.client("ssm").put_parameter(Name="/parley/guard", Value=value, Type="String")
    assert not guard.closed(clock.now)


def test_wake_ups_are_learned_once_each_and_the_last_ones_count(guard: StackGuard, topic: str, clock: Clock) -> None:
    assert guard.estimate() is None
    for _ in range(3):
        guard.woke(100.0, clock.now)
    for seconds in range(MOST_WAKE_UPS):
        clock.now += 3600
        guard.woke(200.0 + seconds, clock.now)
    item = boto3.client("dynamodb").get_item(
        TableName="parley", Key={"pk": {"S": "METER#WAKE-UPS"}, "sk": {"S": "METER"}}
    )
    assert len(item["Item"]["recent"]["L"]) == MOST_WAKE_UPS
    assert guard.estimate() == 200.0 + MOST_WAKE_UPS // 2
