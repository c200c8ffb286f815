"""Secrets are compared in constant time or looked up by their hash, at every place; no other comparison decides."""

from __future__ import annotations

import ast
import hmac
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chalicelib import visitors
from parley.channels.http import JsonPoster
from parley.channels.slack import Slack
from parley.channels.telegram import Telegram
from parley.errors import Unauthorized
from parley.openai_api import ids
from parley.ports import WebhookRequest
from tests.http.routes import slack_event, slack_headers, telegram_update

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"secret|token|signature|digest|\bmac\b|hash|password|credential|api_key|bearer", re.IGNORECASE)
KEY = b"k" * 32


def comparisons() -> Iterator[tuple[str, str]]:
    """(file, source) of every ==, != and `in` of the deployed code that names something like a secret."""
    for folder in ("layers/parley", "chalice-app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Compare):
                    continue
                if not all(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
                    continue
                compared = [node.left, *node.comparators]
                literal = any(isinstance(side, ast.Constant) for side in compared)
                if NAMED.search(ast.unparse(node)) and not literal:
                    yield str(path.relative_to(ROOT / folder)), ast.unparse(node)


def test_no_plain_comparison_names_a_secret() -> None:
    assert sorted(set(comparisons())) == ALLOWED


ALLOWED = [("chalicelib/wiring.py", "kept != credentials")]
"""What is stored against what was stored: nothing of it comes from outside."""


def slack(headers: dict[str, str]) -> bool:
    channel = Slack({"signing_secret": "right", "bot_token": "x"}, "default", JsonPoster(), lambda: "t")
    return takes(lambda: channel.read(WebhookRequest("POST", headers, {}, slack_event()), float(STAMP)))


def telegram(secret: str) -> bool:
    channel = Telegram({"secret_token": "right", "bot_token": "1:x"}, "default", JsonPoster(), lambda: "t")
    headers = {"x-telegram-bot-api-secret-token": secret}
    return takes(lambda: channel.read(WebhookRequest("POST", headers, {}, telegram_update()), 1.0))


def takes(read: Callable[[], object]) -> bool:
    try:
        read()
    except Unauthorized:
        return False
    return True


STAMP = 1_700_000_000


def signed(secret: str) -> dict[str, str]:
    headers = slack_headers(slack_event(), secret, STAMP)
    return {name.lower(): value for name, value in headers.items()}


COOKIE = visitors.new_cookie(KEY, False).partition(";")[0]
ID = ids.sign(KEY, "a", "thread", "event")
PLACES: dict[str, tuple[Callable[[], bool], Callable[[], bool]]] = {
    "Slack's signature": (lambda: slack(signed("right")), lambda: slack(signed("wrong"))),
    "Telegram's secret": (lambda: telegram("right"), lambda: telegram("wrong")),
    "a visitor's cookie": (
        lambda: visitors.read(KEY, COOKIE) is not None, lambda: visitors.read(b"x" * 32, COOKIE) is not None,
    ),
    "a response's id": (
        lambda: ids.verify(KEY, "a", ID) is not None, lambda: ids.verify(KEY, "b", ID) is not None,
    ),
}  # fmt: skip
"""For each place something that is right, and something that is wrong."""


@pytest.mark.parametrize("place", PLACES)
def test_the_comparison_in_constant_time_decides_and_no_other(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = PLACES[place]
    assert (right(), wrong()) == (True, False)
    monkeypatch.setattr(hmac, "compare_digest", lambda given, expected: False)
    assert not right(), "something else took it"
    monkeypatch.setattr(hmac, "compare_digest", lambda given, expected: True)
    assert wrong(), "something else refused it"


def test_these_are_all_the_places_that_compare_secrets() -> None:
    found = {
        str(path.relative_to(ROOT)) for folder in ("layers", "chalice-app")
        for path in (ROOT / folder).rglob("*.py") if "compare_digest" in path.read_text()
    }  # fmt: skip
    assert found == {
        "layers/parley/channels/webhooks.py", "layers/parley/openai_api/ids.py", "chalice-app/chalicelib/visitors.py",
    }  # fmt: skip
