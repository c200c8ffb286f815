"""What comes of Telegram's webhooks: who may send them, which are messages, and where those belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from parley.channels.http import JsonPoster
from parley.channels.telegram import Telegram
from parley.domain.message import MAX_TEXT_CHARACTERS, Incoming
from parley.errors import BadRequest, RequestError, Unauthorized
from parley.ports import Webhook, WebhookRequest
from tests.channels.hostile_json import ANYTHING, damaged
from tests.channels.webhook_requests import NOW, SECRET_TOKEN, telegram_request, telegram_update

VECTOR = json.loads((Path(__file__).parent / "telegram_update.json").read_text())
GROUP = {"id": -1001234567890, "type": "supergroup"}


def read_one(telegram: Telegram, message: dict[str, Any] | None = None) -> Incoming:
    """The one message of an update."""
    webhook = telegram.read(telegram_request(telegram_update(message)), NOW)
    assert webhook.answer.status == 200
    assert webhook.answer.body == "", "Telegram would run a body as a call"
    (incoming,) = webhook.messages
    return incoming


def test_the_derived_vector_is_read(telegram_reader: Telegram) -> None:
    assert VECTOR["secret_token"] == SECRET_TOKEN
    headers = {name.lower(): value for name, value in VECTOR["headers"].items()}
    (message,) = telegram_reader.read(WebhookRequest("POST", headers, {}, VECTOR["body"].encode()), NOW).messages
    assert message.event == "10000"
    assert message.text == "hello"


@pytest.mark.parametrize(
    "headers",
    [{}, {"": ""}, *({"x-telegram-bot-api-secret-token": v} for v in ("", "wrong", "Abc_123-xyzé", "\udcff"))],
)
def test_a_missing_or_wrong_secret_is_unauthorized(telegram_reader: Telegram, headers: dict[str, str]) -> None:
    body = json.dumps(telegram_update()).encode()
    with pytest.raises(Unauthorized):
        telegram_reader.read(WebhookRequest("POST", headers, {}, body), NOW)


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_token_nobody_is_let_in(secret: str | None) -> None:
    credentials = {"bot_token": "1:x"} if secret is None else {"bot_token": "1:x", "secret_token": secret}
    unconfigured = Telegram(credentials, "default", JsonPoster(), lambda: "trace")
    with pytest.raises(Unauthorized):
        unconfigured.read(telegram_request(telegram_update(), secret=""), NOW)


def test_a_private_chat_is_one_conversation(telegram_reader: Telegram) -> None:
    message = read_one(telegram_reader)
    assert message.conversation == "telegram:4242:1111111"
    assert message.reply_to == {"chat_id": "1111111"}
    assert (message.event, message.user, message.bot) == ("10000", "telegram:1111111", "default")
    assert message.received == NOW


def test_a_forum_topic_is_a_conversation_of_its_own(telegram_reader: Telegram) -> None:
    reply = {"message_id": 1}
    topic = {"chat": GROUP, "message_thread_id": 7, "is_topic_message": True, "reply_to_message": reply}
    message = read_one(telegram_reader, topic)
    assert message.conversation == "telegram:4242:-1001234567890/7"
    assert message.reply_to == {"chat_id": "-1001234567890", "message_thread_id": "7"}


def test_a_reply_in_a_group_without_topics_stays_in_the_groups_conversation(telegram_reader: Telegram) -> None:
    message = read_one(
        telegram_reader, {"chat": GROUP, "message_thread_id": 111, "reply_to_message": {"message_id": 111}}
    )
    assert message.conversation == "telegram:4242:-1001234567890"
    assert message.reply_to == {"chat_id": "-1001234567890"}


def test_a_token_of_another_form_does_not_become_part_of_ids() -> None:
    telegram = Telegram({"bot_token": "not-a-real-token", "secret_token": SECRET_TOKEN}, "default", JsonPoster(), str)
    assert read_one(telegram).conversation == "telegram:default:1111111"


def test_a_caption_is_read_as_text(telegram_reader: Telegram) -> None:
    assert read_one(telegram_reader, {"text": None, "caption": "what is this?", "photo": []}).text == "what is this?"


@pytest.mark.parametrize("start", ["/start", "/start@parley_bot", "/start ref-42", "/start@parley_bot ref-42"])
@pytest.mark.parametrize(
    ("language", "greeting"), [("en", "Hello"), ("zh-hans", "你好"), (None, "Hello"), (7, "Hello")]
)
def test_opening_the_bot_is_a_greeting(telegram_reader: Telegram, start: str, language: Any, greeting: str) -> None:
    sender = {"id": 1, "is_bot": False, "language_code": language}
    assert read_one(telegram_reader, {"text": start, "from": sender}).text == greeting


@pytest.mark.parametrize("text", ["/starting", "/help", "say /start"])
def test_other_words_stay_as_they_are(telegram_reader: Telegram, text: str) -> None:
    assert read_one(telegram_reader, {"text": text}).text == text


@pytest.mark.parametrize(
    "update", [{"edited_message": {}}, {"callback_query": {"data": "x"}}, {"channel_post": {"text": "x"}}]
)
def test_other_updates_get_an_empty_200(telegram_reader: Telegram, update: dict[str, Any]) -> None:
    assert telegram_reader.read(telegram_request({"update_id": 1, **update}), NOW) == Webhook()


@pytest.mark.parametrize(
    "message", [{"text": None}, {"text": " "}, {"from": None}, {"from": {"id": 2, "is_bot": True}}]
)
def test_messages_without_a_person_or_words_get_an_empty_200(
    telegram_reader: Telegram, message: dict[str, Any]
) -> None:
    assert telegram_reader.read(telegram_request(telegram_update(message)), NOW) == Webhook()


@pytest.mark.parametrize(
    "body", [b"", b"a=b", b"[]", b"null", b"{}", b'{"update_id":true}', b'{"update_id":1e3}', b"[" * 100_000]
)
def test_a_body_that_is_no_update_is_a_bad_request(telegram_reader: Telegram, body: bytes) -> None:
    with pytest.raises(BadRequest):
        telegram_reader.read(telegram_request(body), NOW)


def test_text_over_the_limit_is_cut_there(telegram_reader: Telegram) -> None:
    assert len(read_one(telegram_reader, {"text": "x" * 40_000}).text) == MAX_TEXT_CHARACTERS


@settings(deadline=None)
@given(document=damaged(telegram_update({"message_thread_id": 7, "is_topic_message": True})) | ANYTHING)
def test_no_json_makes_anything_but_a_message_or_a_bad_request(telegram_reader: Telegram, document: Any) -> None:
    try:
        webhook = telegram_reader.read(telegram_request(json.dumps(document).encode()), NOW)
    except RequestError:
        return
    assert webhook.answer.status == 200
    assert not webhook.answer.body
    for message in webhook.messages:
        assert message.text.strip()
        for text in (message.text, message.event, message.conversation, message.user, *message.reply_to.values()):
            text.encode()
