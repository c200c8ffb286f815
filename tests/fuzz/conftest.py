"""One front for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.channels.webhook_requests import SECRET_TOKEN, SIGNING_SECRET
from tests.fuzz.front import Front

SECRETS = {
    "bots/default/slack": {"signing_secret": SIGNING_SECRET, "bot_token": "xoxb-1"},
    "bots/default/telegram": {"secret_token": SECRET_TOKEN, "bot_token": "4242:x"},
}


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with Front(SECRETS).running() as running:
        yield running
