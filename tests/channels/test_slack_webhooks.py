"""What comes of Slack's webhooks: who may send them, which are messages, and where those belong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.channels.http import JsonPoster
from parley.channels.slack import Slack
from parley.domain.message import MAX_TEXT_CHARACTERS, Incoming
from parley.errors import BadRequest, RequestError, Unauthorized
from parley.ports import WebhookAnswer, WebhookRequest
from tests.channels.hostile_json import ANYTHING, damaged
from tests.channels.webhook_requests import NOW, SIGNING_SECRET, slack_event, slack_request

VECTORS = json.loads((Path(__file__).parent / "slack_signatures.json").read_text())
UNSERVED_SUBTYPES = [
    "bot_message",
    "message_changed",
    "message_deleted",
    "channel_join",
    "slackbot_response",
    "me_message",
]


def read_one(slack: Slack, event: dict[str, Any], **envelope: Any) -> Incoming:
    """The one message of an event."""
    webhook = slack.read(slack_request(slack_event(event, **envelope)), NOW)
    assert webhook.answer == WebhookAnswer(200, "")
    (message,) = webhook.messages
    return message


def is_ignored(slack: Slack, document: dict[str, Any]) -> bool:
    webhook = slack.read(slack_request(document), NOW)
    return not webhook.messages and webhook.answer == WebhookAnswer(200, "")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_signatures_are_judged_as_slack_judges_them(slack_reader: Slack, vector: dict[str, Any]) -> None:
    assert vector["secret"] == SIGNING_SECRET
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    request = WebhookRequest("POST", headers, {}, vector["body"].encode())
    # The vectors' bodies are forms: a good signature lets them through to the JSON reader, which says so.
    expected = Unauthorized if vector["expect"].startswith("reject") else BadRequest
    with pytest.raises(expected):
        slack_reader.read(request, float(vector.get("now", vector["timestamp"])))


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_whatever_slack_sdk_signs_passes_and_one_changed_byte_does_not(slack_reader: Slack, text: str) -> None:
    request = slack_request(f'{{"x":"{text}"}}'.encode("utf-8", "replace"))
    with contextlib.suppress(BadRequest):  # past the signature, but no JSON
        slack_reader.read(request, NOW)
    changed = WebhookRequest("POST", request.headers, {}, request.body[:-1] + b"]")
    with pytest.raises(Unauthorized):
        slack_reader.read(changed, NOW)


@pytest.mark.parametrize(("late", "passes"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_a_timestamp_counts_for_300_seconds_to_both_sides(slack_reader: Slack, late: int, passes: bool) -> None:
    request = slack_request(slack_event({}))
    if passes:
        assert slack_reader.read(request, NOW + late).messages
    else:
        with pytest.raises(Unauthorized):
            slack_reader.read(request, NOW + late)


@pytest.mark.parametrize("name", ["x-slack-signature", "x-slack-request-timestamp"])
@pytest.mark.parametrize(
    "value", [None, "", "v0=", "v0=é", "１７００００００００", "-1", "1e9", "nan", " 1700000000", "9" * 5000]
)
def test_missing_and_garbled_headers_are_unauthorized(slack_reader: Slack, name: str, value: str | None) -> None:
    good = slack_request(slack_event({}))
    headers = (
        {**good.headers, name: value} if value is not None else {k: v for k, v in good.headers.items() if k != name}
    )
    with pytest.raises(Unauthorized):
        slack_reader.read(
            WebhookRequest("POST", {k: v for k, v in headers.items() if v is not None}, {}, good.body), NOW
        )


@pytest.mark.parametrize("secret", ["", " \n"])
def test_without_a_signing_secret_nobody_is_let_in(secret: str) -> None:
    unconfigured = Slack({"signing_secret": secret, "bot_token": "xoxb"}, "default", JsonPoster(), lambda: "trace")
    with pytest.raises(Unauthorized):
        unconfigured.read(slack_request(slack_event({}), secret=secret), NOW)


def test_the_handshake_is_answered_with_its_challenge_as_plain_text(slack_reader: Slack) -> None:
    webhook = slack_reader.read(slack_request({"type": "url_verification", "challenge": "3eZbrw", "token": "x"}), NOW)
    assert webhook.answer == WebhookAnswer(200, "3eZbrw", "text/plain")
    assert not webhook.messages


def test_an_unsigned_handshake_is_not_answered(slack_reader: Slack) -> None:
    with pytest.raises(Unauthorized):
        slack_reader.read(WebhookRequest("POST", {}, {}, b'{"type":"url_verification","challenge":"x"}'), NOW)


def test_a_channel_message_opens_a_thread_that_is_the_conversation(slack_reader: Slack) -> None:
    message = read_one(slack_reader, {})
    assert message.conversation == "slack:T1:C1/1700000000.000100"
    assert message.reply_to == {"channel": "C1", "thread_ts": "1700000000.000100"}
    assert (message.user, message.bot, message.text) == ("slack:T1:U1", "default", "hello")
    assert message.received == NOW
    assert message.trace.startswith("trace-")


def test_a_reply_in_a_thread_belongs_to_the_conversation_that_opened_it(slack_reader: Slack) -> None:
    opened = read_one(slack_reader, {"ts": "1700000000.000100"})
    reply = read_one(slack_reader, {"ts": "1700000009.000200", "thread_ts": "1700000000.000100"})
    assert reply.conversation == opened.conversation
    assert reply.reply_to == opened.reply_to
    assert reply.event != opened.event


@pytest.mark.parametrize("event", [{"channel": "D1"}, {"channel": "C9", "channel_type": "im"}])
def test_a_direct_message_is_answered_without_a_thread(slack_reader: Slack, event: dict[str, Any]) -> None:
    message = read_one(slack_reader, event)
    assert message.conversation == f"slack:T1:{event['channel']}"
    assert message.reply_to == {"channel": event["channel"]}


def test_a_thread_in_a_direct_message_is_a_conversation_of_its_own(slack_reader: Slack) -> None:
    message = read_one(slack_reader, {"channel": "D1", "thread_ts": "1.5"})
    assert message.conversation == "slack:T1:D1/1.5"
    assert message.reply_to == {"channel": "D1", "thread_ts": "1.5"}


def test_a_mention_delivered_as_two_events_has_one_id(slack_reader: Slack) -> None:
    text = {"text": "<@U0BOT> hello"}
    plain = read_one(slack_reader, text, event_id="Ev1")
    mention = read_one(slack_reader, {**text, "type": "app_mention"}, event_id="Ev2")
    assert plain.event == mention.event == "C1:1700000000.000100"
    assert plain.conversation == mention.conversation
    assert plain.text == mention.text == "hello"


def test_a_retry_is_read_as_the_first_delivery_was(slack_reader: Slack) -> None:
    request = slack_request(slack_event({}))
    headers = {**request.headers, "x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
    again = WebhookRequest("POST", headers, {}, request.body)
    first, second = slack_reader.read(request, NOW).messages[0], slack_reader.read(again, NOW).messages[0]
    assert first.event == second.event


@pytest.mark.parametrize("event", [{"subtype": "file_share"}, {"subtype": "thread_broadcast", "thread_ts": "1.5"}])
def test_messages_with_files_and_broadcast_replies_are_served(slack_reader: Slack, event: dict[str, Any]) -> None:
    assert read_one(slack_reader, event).text == "hello"


@pytest.mark.parametrize("subtype", UNSERVED_SUBTYPES)
def test_edits_deletions_joins_and_bots_are_ignored(slack_reader: Slack, subtype: str) -> None:
    assert is_ignored(slack_reader, slack_event({"subtype": subtype}))


@pytest.mark.parametrize(
    "event",
    [
        {"bot_id": "B1"},
        {"user": "U0BOT"},
        {"user": None},
        {"text": None},
        {"text": "  \n"},
        {"text": "<@U0BOT>"},
        {"type": "reaction_added"},
        {"type": None},
    ],
)
def test_events_that_are_no_persons_words_are_ignored(slack_reader: Slack, event: dict[str, Any]) -> None:
    assert is_ignored(slack_reader, slack_event(event))


@pytest.mark.parametrize("kind", ["app_rate_limited", "something_new", None, 7, [], {}])
def test_unknown_types_get_an_empty_200(slack_reader: Slack, kind: Any) -> None:
    assert is_ignored(slack_reader, {"type": kind})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"token=x&team_id=T1",
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_signed_body_that_is_no_json_object_is_a_bad_request(slack_reader: Slack, body: bytes) -> None:
    with pytest.raises(BadRequest):
        slack_reader.read(slack_request(body), NOW)


@pytest.mark.parametrize(
    "event", [{"channel": "C1/2:3"}, {"ts": "soon"}, {"ts": 1.5}, {"user": "U 1"}, {"thread_ts": [1]}]
)
def test_ids_that_are_none_of_slacks_are_bad_requests(slack_reader: Slack, event: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        slack_reader.read(slack_request(slack_event(event)), NOW)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<@U0BOT> hi", "hi"),
        ("hi <@U0BOT|parley> there", "hi  there"),
        ("ask <@U7|ann> or <@U8>", "ask @ann or @U8"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&amp;lt;", "&lt;"),
        ("see <https://x.y/a?b=1&amp;c=2|the page>", "see the page (https://x.y/a?b=1&c=2)"),
        ("see <https://x.y>", "see https://x.y"),
        ("see <http://x.y|x.y> or <mailto:a@b.c|a@b.c>", "see x.y or a@b.c"),
        ("<#C2|general> <#C3> <!here> <!subteam^S1|@team>", "#general #C3 @here @team"),
        ("typed: &lt;@U0BOT&gt; &lt;!channel&gt;", "typed: <@U0BOT> <!channel>"),
        ("half \ud83d", "half \ufffd"),
        ("𝒳 你好 👩‍💻", "𝒳 你好 👩‍💻"),
    ],
)
def test_text_is_what_the_person_wrote(slack_reader: Slack, written: str, read: str) -> None:
    assert read_one(slack_reader, {"text": written}).text == read


def test_a_leading_mention_goes_even_when_slack_does_not_say_who_the_bot_is(slack_reader: Slack) -> None:
    message = read_one(slack_reader, {"type": "app_mention", "text": "<@UBOT9> hi <@U7>"}, authorizations=None)
    assert message.text == "hi @U7"


def test_text_over_the_limit_is_cut_there(slack_reader: Slack) -> None:
    assert len(read_one(slack_reader, {"text": "x" * 40_000}).text) == MAX_TEXT_CHARACTERS


@settings(deadline=None)
@given(document=damaged(slack_event({"thread_ts": "1.5", "subtype": "file_share", "channel_type": "im"})) | ANYTHING)
def test_no_signed_json_makes_anything_but_a_message_or_a_bad_request(slack_reader: Slack, document: Any) -> None:
    try:
        webhook = slack_reader.read(slack_request(json.dumps(document).encode()), NOW)
    except RequestError:
        return
    assert webhook.answer.status == 200
    for message in webhook.messages:
        assert message.text.strip()
        for text in (message.text, message.event, message.conversation, message.user, *message.reply_to.values()):
            text.encode()  # sound Unicode: it goes into queues and keys
