"""The channels with fixed credentials, each talking to its platform's stand-in on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from parley.channels.http import JsonPoster
from parley.channels.slack import Slack
from parley.channels.telegram import Telegram
from tests.channels.platforms import SlackApi, TelegramApi
from tests.channels.webhook_requests import NOW, SECRET_TOKEN, SIGNING_SECRET

SLACK_TOKEN = "xoxb-secret-token"
TELEGRAM_TOKEN = "4242:secret-token"


@pytest.fixture(scope="session")
def new_trace() -> Callable[[], str]:
    """Trace ids that tell messages apart."""
    numbers = itertools.count(1)
    return lambda: f"trace-{next(numbers)}"


@pytest.fixture
def slack_api() -> Iterator[SlackApi]:
    """Slack's API."""
    with SlackApi(SLACK_TOKEN) as api:
        yield api


@pytest.fixture
def telegram_api() -> Iterator[TelegramApi]:
    """Telegram's API."""
    with TelegramApi(TELEGRAM_TOKEN) as api:
        yield api


@pytest.fixture
def slack(slack_api: SlackApi, new_trace: Callable[[], str]) -> Slack:
    """The bot `default` on Slack."""
    credentials = {"signing_secret": SIGNING_SECRET, "bot_token": SLACK_TOKEN, "api_url": slack_api.url}
    return Slack(credentials, "default", JsonPoster(clock=lambda: NOW), new_trace)


@pytest.fixture
def telegram(telegram_api: TelegramApi, new_trace: Callable[[], str]) -> Telegram:
    """The bot `default` on Telegram."""
    credentials = {"secret_token": SECRET_TOKEN, "bot_token": TELEGRAM_TOKEN, "api_url": telegram_api.url}
    return Telegram(credentials, "default", JsonPoster(clock=lambda: NOW), new_trace)


@pytest.fixture(scope="session")
def slack_reader(new_trace: Callable[[], str]) -> Slack:
    """The bot on Slack for tests that only read webhooks."""
    return Slack({"signing_secret": SIGNING_SECRET, "bot_token": SLACK_TOKEN}, "default", JsonPoster(), new_trace)


@pytest.fixture(scope="session")
def telegram_reader(new_trace: Callable[[], str]) -> Telegram:
    """The bot on Telegram for tests that only read webhooks."""
    credentials = {"secret_token": SECRET_TOKEN, "bot_token": TELEGRAM_TOKEN}
    return Telegram(credentials, "default", JsonPoster(), new_trace)
