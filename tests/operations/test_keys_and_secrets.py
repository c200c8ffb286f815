"""`scripts/keys` and `scripts/secrets`: what lets callers in, and what lets the deployment into its channels."""

from __future__ import annotations

import io
import json

import pytest

from parley.aws.callers import StoredCallers
from parley.errors import Unauthorized
from scripts.operations import keys, secrets
from tests.deployment.recorded_system import RecordedSystem
from tests.operations.conftest import Run


def callers(system: RecordedSystem) -> StoredCallers:
    return StoredCallers(system.outside.client("dynamodb"), system.deployment.resources["Table"].ref, 10)


def test_a_key_that_was_made_lets_its_caller_in_and_is_stored_nowhere(system: RecordedSystem, run: Run) -> None:
    status, key, told = run(keys.main, "create", "--caller", "shop", "--name", "the till")
    assert status == 0
    assert "only time" in told
    assert callers(system).admit(key.strip(), 60.0) == "shop"
    table = system.outside.client("dynamodb").scan(TableName=system.deployment.resources["Table"].ref)["Items"]
    assert key.strip() not in json.dumps(table)


def test_keys_are_listed_by_what_tells_them_apart_and_not_by_themselves(run: Run) -> None:
    key = run(keys.main, "create", "--caller", "shop", "--name", "the till")[1].strip()
    listed = json.loads(run(keys.main, "list", "--json")[1])
    assert {(entry["caller"], entry["name"]) for entry in listed} == {("shop", "the till"), ("local", "scripts/run")}
    assert key not in json.dumps(listed)


def test_a_revoked_key_is_refused_from_then_on(system: RecordedSystem, run: Run) -> None:
    made = json.loads(run(keys.main, "create", "--caller", "shop", "--json")[1])
    assert run(keys.main, "revoke", made["id"])[0] == 0
    with pytest.raises(Unauthorized):
        callers(system).identify(made["key"])
    assert run(keys.main, "revoke", made["id"])[0] == 1


@pytest.mark.parametrize("arguments", [("create",), ("create", "--caller", "a b"), ("revoke", "xyz"), ()])
def test_wrong_use_of_keys_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(keys.main, *arguments)
    assert stopped.value.code == 2


def test_a_channel_s_secret_comes_from_standard_input_and_is_encrypted(
    system: RecordedSystem, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"bot_token": " 12:ab ", "secret_token": "s3cret"}'))
    status, out, err = run(secrets.main, "set", "bots/default/telegram")
    assert (status, "s3cret" in out + err) == (0, False)
    stored = system.outside.client("ssm").get_parameter(Name="/parley/bots/default/telegram", WithDecryption=True)
    assert stored["Parameter"]["Type"] == "SecureString"
    assert json.loads(stored["Parameter"]["Value"]) == {"bot_token": "12:ab", "secret_token": "s3cret"}


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"bot_token": ""}', '{"bot_token": 5}'])
def test_what_is_no_secret_is_refused_in_one_line_and_nothing_is_written(
    system: RecordedSystem, run: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    status, out, err = run(secrets.main, "set", "bots/default/telegram")
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    names = [entry["name"] for entry in json.loads(run(secrets.main, "list", "--json")[1])]
    assert "bots/default/telegram" not in names


def test_secrets_are_listed_without_their_values(run: Run) -> None:
    status, out, _ = run(secrets.main, "list", "--json")
    assert status == 0
    assert {"signing-key", "bots/default/slack", "bots/default/profile"} <= {entry["name"] for entry in json.loads(out)}
    assert "signing-secret-of-the-tests" not in out


def test_rotating_makes_another_signing_key_and_warns(system: RecordedSystem, run: Run) -> None:
    client = system.outside.client("ssm")

    def key() -> str:
        return str(client.get_parameter(Name="/parley/signing-key", WithDecryption=True)["Parameter"]["Value"])

    before = key()
    status, _, told = run(secrets.main, "rotate", "signing-key")
    assert (status, "cookies" in told) == (0, True)
    assert key() != before
    assert run(secrets.main, "rotate", "bots/default/slack")[0] == 2
