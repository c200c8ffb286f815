"""What reaches Telegram's API, which judges markup and length here as the real one does, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.channels.http import JsonPoster
from parley.channels.telegram import Telegram
from parley.errors import ChannelBusy, ChannelRefused, DeliveryError
from tests.channels.conftest import TELEGRAM_TOKEN
from tests.channels.markdown_scraps import MARKDOWN_SCRAPS
from tests.channels.platforms import Answer, TelegramApi, telegram_error

CHAT = {"chat_id": "-1001234567890"}
TOPIC = {**CHAT, "message_thread_id": "7"}
CANNOT_PARSE = telegram_error(400, 'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0')


@pytest.fixture(scope="module")
def shared_api() -> Iterator[TelegramApi]:
    """One API for all examples of a property."""
    with TelegramApi(TELEGRAM_TOKEN) as api:
        yield api


def test_a_message_goes_out_as_html_and_comes_back_with_its_id(telegram: Telegram, telegram_api: TelegramApi) -> None:
    assert telegram.send(TOPIC, "**a** < b") == "1"
    (call,) = telegram_api.calls
    assert call.path == f"/bot{TELEGRAM_TOKEN}/sendMessage"
    assert call.body == {
        "chat_id": -1001234567890,
        "message_thread_id": 7,
        "text": "<b>a</b> &lt; b",
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }


@pytest.mark.parametrize("piece", ["", " \n", "```\n```"])
def test_nothing_is_never_sent_as_an_empty_message(telegram: Telegram, telegram_api: TelegramApi, piece: str) -> None:
    for part in telegram.pieces(piece):
        assert telegram.send(CHAT, part)
    assert [call.body["text"] for call in telegram_api.calls] == ["…"]


def test_every_piece_of_a_long_answer_is_taken(telegram: Telegram, telegram_api: TelegramApi) -> None:
    text = "\n\n".join(
        "😀 **bold** [link](https://example.org/long/address) `a<b` 这是一个句子。" * 30 for _ in range(12)
    )
    pieces = telegram.pieces(text)
    assert len(pieces) > 2
    assert all(telegram.send(CHAT, piece) for piece in pieces)
    assert len(telegram_api.calls) == len(pieces), "none had to be sent twice"


@settings(max_examples=60, deadline=None)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=30).map("".join))
def test_telegram_takes_whatever_a_model_writes(shared_api: TelegramApi, text: str) -> None:
    telegram = Telegram({"bot_token": TELEGRAM_TOKEN, "api_url": shared_api.url}, "default", JsonPoster(), str)
    before, pieces = len(shared_api.calls), telegram.pieces(text)
    assert all(telegram.send(CHAT, piece) for piece in pieces)
    assert len(shared_api.calls) - before == len(pieces), "none had to be sent twice"


def test_markup_that_telegram_does_not_take_is_sent_again_plain(telegram: Telegram, telegram_api: TelegramApi) -> None:
    telegram_api.script(CANNOT_PARSE)
    assert telegram.send(CHAT, "**a** <x>")
    assert telegram_api.calls[1].body == {
        "chat_id": -1001234567890, "text": "**a** <x>", "link_preview_options": {"is_disabled": True},
    }  # fmt: skip


def test_what_is_too_long_with_its_marks_is_sent_plain_without_them(
    telegram: Telegram, telegram_api: TelegramApi
) -> None:
    (piece,) = telegram.pieces(" ".join(f"[link{n}](https://example.org/{'x' * 80}/{n})" for n in range(100)))
    telegram_api.script(CANNOT_PARSE)
    assert telegram.send(CHAT, piece)
    assert telegram_api.calls[1].body["text"].startswith("link0 link1 ")


def test_a_group_that_became_a_supergroup_gets_the_message_at_once(
    telegram: Telegram, telegram_api: TelegramApi
) -> None:
    moved = "Bad Request: group chat was upgraded to a supergroup chat"
    telegram_api.script(telegram_error(400, moved, {"migrate_to_chat_id": -100777}))
    assert telegram.send(CHAT, "hi")
    assert [call.body["chat_id"] for call in telegram_api.calls] == [-1001234567890, -100777]


def test_a_topic_that_is_gone_gets_the_message_in_the_chat(telegram: Telegram, telegram_api: TelegramApi) -> None:
    telegram_api.script(telegram_error(400, "Bad Request: message thread not found"))
    assert telegram.send(TOPIC, "hi")
    assert "message_thread_id" not in telegram_api.calls[1].body


def test_several_things_are_put_right_one_after_another(telegram: Telegram, telegram_api: TelegramApi) -> None:
    telegram_api.script(
        telegram_error(400, "Bad Request: upgraded", {"migrate_to_chat_id": -100777}),
        telegram_error(400, "Bad Request: message thread not found"),
        CANNOT_PARSE,
    )
    assert telegram.send(TOPIC, "hi")
    assert telegram_api.calls[3].body == {
        "chat_id": -100777, "text": "hi", "link_preview_options": {"is_disabled": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        CANNOT_PARSE,
        telegram_error(400, "x", {"migrate_to_chat_id": -100777}),
        telegram_error(400, "message thread not found"),
    ],
)
def test_an_api_that_keeps_saying_the_same_is_not_asked_for_ever(
    telegram: Telegram, telegram_api: TelegramApi, answer: Answer
) -> None:
    telegram_api.script(*[answer] * 20)
    with pytest.raises(ChannelRefused):
        telegram.send(TOPIC, "hi")
    assert len(telegram_api.calls) == 2


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden: bot was blocked by the user"),
        (400, "Bad Request: chat not found"),
        (404, "Not Found"),
    ],
)
def test_errors_that_stay_are_refusals_in_telegrams_words(
    telegram: Telegram, telegram_api: TelegramApi, status: int, description: str
) -> None:
    telegram_api.script(telegram_error(status, description))
    with pytest.raises(ChannelRefused, match=f"status {status}: {description}"):
        telegram.send(CHAT, "hi")


def test_a_429_says_in_its_parameters_when_to_come_back(telegram: Telegram, telegram_api: TelegramApi) -> None:
    telegram_api.script(telegram_error(429, "Too Many Requests: retry after 35", {"retry_after": 35}))
    with pytest.raises(ChannelBusy) as busy:
        telegram.send(CHAT, "hi")
    assert busy.value.retry_after == 35
    assert telegram.send(CHAT, "hi")


def test_a_5xx_is_busy(telegram: Telegram, telegram_api: TelegramApi) -> None:
    telegram_api.script(telegram_error(502, "Bad Gateway"))
    with pytest.raises(ChannelBusy):
        telegram.send(CHAT, "hi")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(drop=True),
        Answer(500, raw=b"<html>"),
        Answer(200, raw=b"<html>"),
        telegram_error(401, f"bad token {TELEGRAM_TOKEN}"),
        telegram_error(429, TELEGRAM_TOKEN),
        Answer(307, {}, {"Location": "http://127.0.0.1:1/elsewhere"}),
    ],
)
def test_the_token_stands_in_no_error_and_in_no_log(
    telegram: Telegram, telegram_api: TelegramApi, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    telegram_api.script(answer)
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "urllib3"),
        pytest.raises(DeliveryError) as error,
    ):
        telegram.send(CHAT, "hi")
    assert TELEGRAM_TOKEN not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    assert "secret-token" not in caplog.text
    assert len(telegram_api.calls) == 1


def test_the_token_stands_in_no_log_of_a_success(
    telegram: Telegram, telegram_api: TelegramApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    telegram.send(CHAT, "hi")
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize("reply_to", [{}, {"chat_id": ""}, {"chat_id": "@name"}, {**CHAT, "message_thread_id": "x"}])
def test_without_a_chat_nothing_is_sent(
    telegram: Telegram, telegram_api: TelegramApi, reply_to: dict[str, str]
) -> None:
    with pytest.raises(ChannelRefused):
        telegram.send(reply_to, "hi")
    assert not telegram_api.calls


def test_without_a_token_nothing_is_sent(telegram_api: TelegramApi) -> None:
    telegram = Telegram({"api_url": telegram_api.url}, "default", JsonPoster(), str)
    with pytest.raises(ChannelRefused, match="bot_token"):
        telegram.send(CHAT, "hi")
    assert not telegram_api.calls
