"""API keys and secrets on moto: what proves a caller, what it may do in a minute, and what is read how often."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from parley.aws.bots import StoredBots
from parley.aws.callers import StoredCallers
from parley.aws.secrets import SsmSecrets
from parley.errors import Misconfigured, TooManyRequests, Unauthorized
from tests.contracts.conftest import Clock, OneAtATime, create_table


@pytest.fixture
def dynamodb(aws: None) -> Any:
    client = boto3.client("dynamodb")
    create_table(client)
    for key, caller in (("secret-key", "a"), ("other-key", "b")):
        pk = f"KEY#{hashlib.sha256(key.encode()).hexdigest()}"
        client.put_item(TableName="parley", Item={"pk": {"S": pk}, "sk": {"S": "KEY"}, "caller": {"S": caller}})
    return client


def test_a_key_names_its_caller(dynamodb: Any) -> None:
    callers = StoredCallers(dynamodb, "parley", 10)
    assert callers.admit("secret-key", 60.0) == callers.identify("secret-key") == "a"


@pytest.mark.parametrize("key", ["", "wrong", "secret-key ", "🔑", "\ud800", "x" * 10_000])
def test_any_other_key_is_refused_and_leaves_nothing(dynamodb: Any, key: str) -> None:
    callers = StoredCallers(dynamodb, "parley", 10)
    with pytest.raises(Unauthorized):
        callers.admit(key, 60.0)
    with pytest.raises(Unauthorized):
        callers.identify(key)
    assert dynamodb.scan(TableName="parley")["Count"] == 2


def test_the_allowance_is_per_key_and_comes_back_with_the_next_minute(dynamodb: Any) -> None:
    callers = StoredCallers(dynamodb, "parley", 3)
    for _ in range(3):
        callers.admit("secret-key", 65.0)
    with pytest.raises(TooManyRequests) as refused:
        callers.admit("secret-key", 70.0)
    assert refused.value.retry_after == 50
    callers.admit("other-key", 70.0)
    callers.admit("secret-key", 121.0)


def test_the_allowance_holds_when_requests_come_at_once(dynamodb: Any) -> None:
    callers = StoredCallers(OneAtATime(dynamodb), "parley", 5)

    def attempt(_: int) -> bool:
        try:
            callers.admit("secret-key", 65.0)
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(40))) == 5


def test_the_key_itself_is_stored_nowhere(dynamodb: Any) -> None:
    StoredCallers(dynamodb, "parley", 5).admit("secret-key", 65.0)
    assert "secret-key" not in json.dumps(dynamodb.scan(TableName="parley"), default=str)


def test_a_secret_is_read_once_in_five_minutes(aws: None, clock: Clock) -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/parley/bots/default/slack", Value='{"a": "1"}', Type="SecureString")
    secrets = SsmSecrets(ssm, "/parley", clock)
    assert secrets.get("bots/default/slack") == {"a": "1"}
    ssm.put_parameter(Name="/parley/bots/default/slack", Value='{"a": "2"}', Type="SecureString", Overwrite=True)
    assert secrets.get("bots/default/slack") == {"a": "1"}
    clock.now += 301
    assert secrets.get("bots/default/slack") == {"a": "2"}


def test_an_absent_secret_is_none_and_a_broken_one_an_error_without_its_value(aws: None, clock: Clock) -> None:
    ssm = boto3.client("ssm")
    secrets = SsmSecrets(ssm, "/parley", clock)
    assert secrets.get("bots/default/slack") is None
    ssm.put_parameter(Name="/parley/bad", Value="hunter2", Type="SecureString")
    with pytest.raises(Misconfigured, match="/parley/bad") as broken:
        secrets.get("bad")
    assert "hunter2" not in str(broken.value)


def test_a_bot_is_served_when_it_has_a_profile(aws: None, clock: Clock) -> None:
    ssm = boto3.client("ssm")
    profile = {"instructions": "Be kind.", "settings": {"max_tokens": 5}}
    ssm.put_parameter(Name="/parley/bots/default/profile", Value=json.dumps(profile), Type="String")
    bots = StoredBots(SsmSecrets(ssm, "/parley", clock))
    bot = bots.get("default")
    assert bot is not None
    assert (bot.instructions, bot.settings) == ("Be kind.", {"max_tokens": 5})
    assert bots.get("other") is None
    assert bots.get("../../x") is None
    assert bots.names() == ["default"]
