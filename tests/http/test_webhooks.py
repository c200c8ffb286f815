"""Slack's and Telegram's webhooks through the whole path: real signatures in, calls to the platform's API out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from slack_sdk.signature import SignatureVerifier

from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.channels.platforms import Answer, SlackApi, TelegramApi
from tests.http.conftest import HeldModel

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TELEGRAM_TOKEN = "123456:ABC-secret"


@pytest.fixture
def slack() -> Iterator[SlackApi]:
    with SlackApi("xoxb-test") as api:
        yield api


@pytest.fixture
def telegram() -> Iterator[TelegramApi]:
    with TelegramApi(TELEGRAM_TOKEN) as api:
        yield api


@pytest.fixture
def parts(model: HeldModel, slack: SlackApi, telegram: TelegramApi) -> StandInWiring:
    return StandInWiring(
        model,
        {
            "bots/default/slack": {"signing_secret": SECRET, "bot_token": "xoxb-test", "api_url": slack.url},
            "bots/default/telegram": {
                "bot_token": TELEGRAM_TOKEN, "secret_token": "hook-secret", "api_url": telegram.address,
            },
        },
    )  # fmt: skip


@pytest.fixture
def http(parts: StandInWiring, model: HeldModel) -> Iterator[httpx.Client]:
    with StandInRuntime(parts) as runtime, httpx.Client(base_url=runtime.url, timeout=20) as client:
        yield client
        model.release()


def event(ts: str, text: str = "hello", id: str = "Ev1", **more: Any) -> dict[str, Any]:
    inner = {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "text": text, "ts": ts}
    return {"type": "event_callback", "team_id": "T1", "event_id": id, "event_time": 1, "event": {**inner, **more}}


def slack_post(
    http: httpx.Client, body: Any, secret: str = SECRET, headers: dict[str, str] | None = None
) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=raw) or ""
    signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature, "Content-Type": "application/json"}
    return http.post("/webhooks/slack/default", content=raw, headers={**signed, **(headers or {})})


def telegram_post(http: httpx.Client, body: Any, secret: str = "hook-secret") -> httpx.Response:
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    return http.post("/webhooks/telegram/default", json=body, headers=headers)


def update(id: int, text: str = "hello") -> dict[str, Any]:
    sender = {"id": 7, "is_bot": False, "first_name": "A"}
    chat = {"id": 77, "type": "private"}
    return {"update_id": id, "message": {"message_id": id, "date": 1, "from": sender, "chat": chat, "text": text}}


def test_slacks_handshake_is_answered_when_it_is_signed(http: httpx.Client) -> None:
    body = {"type": "url_verification", "challenge": "c-1"}
    answer = slack_post(http, body)
    assert (answer.status_code, answer.text) == (200, "c-1")
    assert slack_post(http, body, secret="wrong").status_code == 401


def test_a_message_in_slack_is_answered_in_its_thread(http: httpx.Client, slack: SlackApi) -> None:
    assert slack_post(http, event("17.5", "what is *this*?")).status_code == 200
    call = slack.wait_for_calls(1)[0]
    assert call.path == "/api/chat.postMessage"
    assert (call.body["channel"], call.body["thread_ts"]) == ("C1", "17.5")
    assert "what is" in call.body["text"]


def test_slacks_retries_and_its_double_for_a_mention_make_one_answer(
    http: httpx.Client, slack: SlackApi, model: HeldModel
) -> None:
    slack_post(http, event("17.5"))
    slack_post(http, event("17.5"), headers={"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"})
    slack_post(http, event("17.5", id="Ev2", type="app_mention"))
    slack_post(http, event("18.5", "last"))
    slack.wait_for_calls(2)
    assert len(slack.calls) == len(model.asked) == 2


def test_a_thread_is_a_conversation(http: httpx.Client, slack: SlackApi, model: HeldModel) -> None:
    slack_post(http, event("17.5", "one"))
    slack.wait_for_calls(1)
    slack_post(http, event("18.5", "two", thread_ts="17.5"))
    slack.wait_for_calls(2)
    slack_post(http, event("19.5", "elsewhere"))
    slack.wait_for_calls(3)
    assert [len(asked["messages"]) for asked in model.asked] == [2, 4, 2]


@pytest.mark.parametrize("break_it", ["secret", "stale", "absent", "altered"])
def test_a_bad_signature_is_401_and_stores_nothing(
    http: httpx.Client, parts: StandInWiring, model: HeldModel, break_it: str
) -> None:
    raw = json.dumps(event("17.5")).encode()
    stamp = str(int(time.time()) - (301 if break_it == "stale" else 0))
    signature = SignatureVerifier("no" if break_it == "secret" else SECRET).generate_signature(
        timestamp=stamp, body=raw
    )
    headers = {"Content-Type": "application/json"}
    if break_it != "absent":
        headers |= {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature or ""}
    sent = raw.replace(b"hello", b"hallo") if break_it == "altered" else raw
    assert http.post("/webhooks/slack/default", content=sent, headers=headers).status_code == 401
    assert parts.conversations.all() == {}
    assert model.asked == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), ({"type": "event_callback"}, 400),
        ({"type": "event_callback", "event": 5}, 400), ({"type": "app_rate_limited"}, 200), ({}, 200),
        (event("1.1", subtype="message_changed"), 200), (event("1.2", bot_id="B1"), 200),
        (event("1.3", type="reaction_added"), 200),
    ],
)  # fmt: skip
def test_what_slack_sends_and_we_do_not_serve_is_no_5xx(
    http: httpx.Client, parts: StandInWiring, body: Any, status: int
) -> None:
    answer = slack_post(http, body)
    assert answer.status_code == status
    assert parts.sqs.size("inbox.fifo") == 0


def test_a_busy_slack_gets_its_patience_and_the_answer_once(http: httpx.Client, slack: SlackApi) -> None:
    slack.script(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"}))
    slack_post(http, event("17.5"))
    calls = slack.wait_for_calls(2)
    assert calls[1].at - calls[0].at >= 0.9
    assert len(calls) == 2


def test_a_message_in_telegram_is_answered_in_its_chat(http: httpx.Client, telegram: TelegramApi) -> None:
    answer = telegram_post(http, update(1))
    assert (answer.status_code, answer.text) == (200, "")
    call = telegram.wait_for_calls(1)[0]
    assert call.path.endswith("/sendMessage")
    assert str(call.body["chat_id"]) == "77"


def test_telegrams_repeat_makes_no_second_answer(http: httpx.Client, telegram: TelegramApi, model: HeldModel) -> None:
    for id in (1, 1, 1, 2):
        telegram_post(http, update(id))
    telegram.wait_for_calls(1)
    assert len({str(asked["messages"]) for asked in model.asked}) == len(model.asked)


def test_telegram_with_a_wrong_secret_is_401(http: httpx.Client, parts: StandInWiring) -> None:
    assert telegram_post(http, update(1), "wrong").status_code == 401
    assert parts.sqs.size("inbox.fifo") == 0


def test_a_channel_without_credentials_is_off_and_says_so(http: httpx.Client) -> None:
    for path in ("/webhooks/whatsapp/default", "/webhooks/slack/other", "/webhooks/slack/..%2f..%2fx"):
        answer = http.post(path, json={})
        assert answer.status_code == 404
    assert "credentials" in http.post("/webhooks/slack/other", json={}).text


def test_when_the_inbox_does_not_take_it_the_platform_is_told_to_repeat(
    http: httpx.Client, parts: StandInWiring
) -> None:
    def broken(record: Any) -> None:
        raise ConnectionError

    parts.inbox.put = broken  # type: ignore[method-assign]
    assert slack_post(http, event("17.5")).status_code == 503
