"""What the owner sets, wrong in any way: one error that names it and never shows a secret, or it works."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import wiring
from parley.aws.bots import StoredBots
from parley.aws.secrets import SsmSecrets
from parley.domain import prompt
from parley.domain.message import Message
from parley.errors import ChannelBusy, Misconfigured
from parley.settings import Settings
from scripts.deployment.failures import BadStack
from scripts.local.stand_in.runtime import FixedSecrets
from scripts.operations import doctor, place, secrets
from scripts.operations.logs import read_lines
from scripts.operations.simulate import BadTraffic, read_traffic
from scripts.operations.usage import summed
from tests.channels.hostile_json import ANYTHING, damaged
from tests.channels.webhook_requests import slack_event, slack_request, telegram_update
from tests.fuzz.bodies import TEXTS, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Front

T = TypeVar("T")
ENVIRONMENT = {f"PARLEY_{field.name.upper()}": "x" for field in fields(Settings) if str(field.type) == "str"}
NUMBERS = [
    f"PARLEY_{field.name.upper()}" for field in fields(Settings) if str(field.type) in ("int", "float")
]  # each is read from the variable of its name
PROFILE = {"instructions": "Be kind.", "settings": {"temperature": 0.5, "top_p": 1, "stop": ["a"], "max_tokens": 50}}
PASSWORD = "hunter2-hunter2-hunter2"
CREDENTIALS = {"signing_secret": PASSWORD, "bot_token": PASSWORD, "secret_token": PASSWORD, "api_url": "http://x"}


@bounded(150)
@given(
    st.sampled_from([*ENVIRONMENT, *NUMBERS]),
    TEXTS
    | st.floats().map(str)
    | st.integers().map(str)
    | st.sampled_from(["", " ", "nan", "1e999", "0x10", "١", "1_0"]),
)
def test_a_setting_is_usable_or_named(name: str, value: str) -> None:
    read, refusal = outcome(Misconfigured, lambda: Settings.read({**ENVIRONMENT, name: value}))
    if read is None:
        assert name in refusal
        return
    for field in fields(read):
        number = getattr(read, field.name)
        assert not isinstance(number, float) or math.isfinite(number)


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def outcome(kind: type[Exception], make: Callable[[], T]) -> tuple[T | None, str]:
    """What came out; or None, and what was said where it was refused."""
    try:
        return make(), ""
    except kind as error:
        return None, str(error)


class Parameter:
    """SSM with one value in every parameter."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get_parameter(self, **_: Any) -> dict[str, Any]:
        if not self._value:
            raise ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")
        return {"Parameter": {"Value": self._value}}


@bounded(100)
@given(hostile(CREDENTIALS))
def test_a_parameter_is_an_object_or_named_without_its_value(raw: bytes) -> None:
    store = SsmSecrets(Parameter(raw.decode(errors="replace")), "/parley", lambda: 0.0)
    found, refusal = outcome(Misconfigured, lambda: store.get("bots/default/slack"))
    if refusal:
        assert "/parley/bots/default/slack" in refusal
        assert PASSWORD not in refusal
    assert isinstance(found or {}, Mapping)


@bounded(200)
@given(damaged(PROFILE) | st.fixed_dictionaries({"settings": st.dictionaries(st.text(), ANYTHING) | ANYTHING}))
def test_a_profile_makes_sound_requests_or_is_named(profile: dict[str, Any]) -> None:
    message = Message(1, 1, "user", "hello", 0.0)
    stored = StoredBots(FixedSecrets({"bots/default/profile": profile}))
    bot, refusal = outcome(Misconfigured, lambda: stored.get("default"))
    if bot is None:
        assert "bots/default/profile" in refusal
        return
    request = prompt.build(bot, [message], 1)
    json.dumps(request, allow_nan=False).encode()
    assert request["messages"][-1] == {"role": "user", "content": "hello"}
    assert all(isinstance(entry["content"], str) for entry in request["messages"])


@bounded(100)
@given(st.sampled_from(["slack", "telegram"]), damaged(CREDENTIALS) | st.dictionaries(st.text(), ANYTHING))
def test_credentials_of_any_kind_let_nobody_in(channel: str, credentials: dict[str, Any]) -> None:
    with Front({f"bots/default/{channel}": credentials}).running() as front:
        body = json.dumps(slack_event({}) if channel == "slack" else telegram_update()).encode()
        headers = {**slack_request(body, secret="").headers, "X-Telegram-Bot-Api-Secret-Token": ""}
        answer = front.ask("POST", f"/webhooks/{channel}/default", headers, body)
        assert answer.status in (401, 503)
        assert answer.is_clean()
        assert PASSWORD not in answer.body.decode()
        assert answer.counted["WebhooksRejected"] + answer.counted["Errors"] == 1
        assert front.waiting() == 0


@bounded(60)
@given(ANYTHING | TEXTS)
def test_a_signing_key_of_any_kind_signs_or_is_named(key: Any) -> None:
    parts = wiring.Wiring()
    parts.secrets = FixedSecrets({"signing-key": {"key": key}})
    signing_key, refusal = outcome(Misconfigured, lambda: parts.signing_key)
    assert "signing-key" in refusal if signing_key is None else len(signing_key) >= 32


def test_the_log_says_what_is_wrong_with_a_profile(caplog: pytest.LogCaptureFixture) -> None:
    with Front({"bots/default/profile": {"settings": {"messages": []}}}).running() as front:
        with caplog.at_level(logging.ERROR):
            answer = front.ask("POST", "/v1/responses", {"Authorization": "Bearer key-a"}, b'{"input": "x"}')
    assert answer.status == 500
    assert "profile" not in answer.body.decode()
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "bots/default/profile" in vars(line)["reason"]


@bounded(80)
@given(hostile(CREDENTIALS))
def test_what_is_given_to_the_secrets_command_is_a_secret_or_refused_in_one_line(raw: bytes) -> None:
    found, refusal = outcome(secrets.BadSecret, lambda: secrets.read(raw.decode(errors="replace")))
    if found is None:
        assert refusal
        assert "\n" not in refusal
        return
    assert found
    assert all(isinstance(value, str) and value.strip() for value in found.values())


@bounded(40)
@given(hostile({"cloud": "http://127.0.0.1:1", "endpoint": "http://127.0.0.1:2"}))
def test_an_address_file_of_any_kind_is_used_or_explained(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch, _folder() as folder:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"):
            patch.setenv(name, "")
            patch.delenv(name)
        (folder / "addresses.json").write_bytes(raw)
        options = argparse.Namespace(stage=place.LOCAL, data=folder, region="us-east-1", profile=None)
        opened, refusal = outcome(BadStack, lambda: place.open_place(options))
        assert opened is not None or "scripts/run" in refusal


@bounded(60)
@given(st.lists(hostile({"message": "turn answered", "user": "u", "tokens_in": 5, "compute_ms": 7}), max_size=3))
def test_a_log_of_any_kind_is_summed(lines: list[bytes]) -> None:
    rows = summed(read_lines(line.decode(errors="replace") for line in lines), "user", 1.0)
    json.dumps(rows)


@bounded(60)
@given(st.lists(TEXTS | st.sampled_from(["5", "1e999", "nan", "2026-01-01T00:00:00", "9999-12-31T23:59:59+14:00"])))
def test_traffic_of_any_kind_is_read_or_refused_by_its_line(lines: list[str]) -> None:
    with _folder() as folder:
        file = folder / "traffic.csv"
        file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
        arrivals, refusal = outcome(BadTraffic, lambda: read_traffic(file))
        assert f"{file}, line" in refusal if arrivals is None else all(at >= 0 for at in arrivals)


class Unreachable:
    """The platforms' APIs, from a machine without a network."""

    def post(self, api: str, url: str, body: Any, headers: Any = None) -> Any:
        raise ChannelBusy(f"{api}: no answer", 5.0)


class Stored:
    """A place whose parameters hold anything."""

    secrets_path = "/parley"

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def client(self, service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        found = [{"Name": f"/parley/{name}", "Value": value} for name, value in self._values.items()]
        return [{"Parameters": found}]


@bounded(60)
@given(
    st.sampled_from(["signing-key", "bots/default/slack", "bots/default/telegram", "bots/default/profile"]),
    hostile({"key": "k" * 32, "signing_secret": "x", "bot_token": "x", "secret_token": "x", "api_url": "gopher://x"}),
)
def test_the_doctor_finds_whatever_is_stored(name: str, raw: bytes) -> None:
    stored: Any = Stored({name: raw.decode(errors="replace")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "JsonPoster", Unreachable)
        found = list(doctor.channels(stored, "http://127.0.0.1:1"))
    assert {finding.check for finding in found} & {name, "signing key"}
    for finding in found:
        assert PASSWORD not in doctor.draw(finding, colour=False)
