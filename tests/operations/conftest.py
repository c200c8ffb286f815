"""A deployment over moto in this process, named as scripts/run names its own: the stage `local`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from moto import mock_aws

from tests.channels.platforms import SlackApi
from tests.deployment.recorded_system import RecordedSystem, recorded_system
from tests.deployment.slack_user import SECRETS, TOKEN

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def slack() -> Iterator[SlackApi]:
    with SlackApi(TOKEN) as api:
        yield api


@pytest.fixture
def recorded(slack: SlackApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedSystem]:
    secrets: Mapping[str, str] = {**SECRETS, "SLACK_API_URL": slack.url}
    with mock_aws(), recorded_system(monkeypatch, secrets, PARLEY_WAIT_SECONDS="0") as made:
        yield made


@pytest.fixture
def system(recorded: RecordedSystem) -> RecordedSystem:
    return recorded


@pytest.fixture
def run(recorded: RecordedSystem, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command's main over the deployment: (status, standard output, standard error)."""

    def call(main: Callable[[list[str]], int], *arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setenv("AWS_ENDPOINT_URL", "")  # moto in this process, and no scripts/run that happens to run
        status = main([*map(str, arguments), "--stage", "local"])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call
