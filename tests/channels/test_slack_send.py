"""What reaches Slack's API, judged beside slack_sdk's own client, and what becomes of its refusals."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient

from parley.channels.http import PATIENCE_SECONDS, JsonPoster
from parley.channels.slack import Slack
from parley.channels.slack_mrkdwn import PIECE_CHARACTERS, to_mrkdwn
from parley.errors import ChannelBusy, ChannelRefused
from tests.channels.conftest import SLACK_TOKEN
from tests.channels.platforms import Answer, SlackApi

THREAD = {"channel": "C1", "thread_ts": "1700000000.000100"}


def test_a_message_reaches_slack_as_slack_sdk_would_send_it(slack: Slack, slack_api: SlackApi) -> None:
    ts = slack.send(THREAD, "**hi** <!channel>")
    WebClient(token=SLACK_TOKEN, base_url=f"{slack_api.url}/").chat_postMessage(
        channel=THREAD["channel"],
        thread_ts=THREAD["thread_ts"],
        text="*hi* &lt;!channel&gt;",
        mrkdwn=True,
        unfurl_links=False,
        unfurl_media=False,
    )
    ours, theirs = slack_api.calls
    assert ours.body == theirs.body
    assert ours.path == theirs.path == "/api/chat.postMessage"
    for name in ("authorization", "content-type"):
        assert ours.headers[name].replace(" ", "").lower() == theirs.headers[name].replace(" ", "").lower()
    assert ts == "1700000000.000000"


def test_slack_reads_no_names_out_of_a_text_and_fetches_no_address_in_it(slack: Slack, slack_api: SlackApi) -> None:
    slack.send(THREAD, "@channel @alice ![](https://example.org/p.png?said=a-secret)")
    body = slack_api.calls[0].body
    assert "link_names" not in body
    assert "parse" not in body
    assert (body["unfurl_links"], body["unfurl_media"]) == (False, False)


def test_a_direct_message_carries_no_thread(slack: Slack, slack_api: SlackApi) -> None:
    slack.send({"channel": "D1"}, "hi")
    assert "thread_ts" not in slack_api.calls[0].body


@pytest.mark.parametrize("piece", ["", " \n", "```\n```"])
def test_nothing_is_never_sent_as_an_empty_message(slack: Slack, slack_api: SlackApi, piece: str) -> None:
    for part in slack.pieces(piece):
        slack.send(THREAD, part)
    assert [call.body["text"] for call in slack_api.calls] == ["…"]


def test_every_piece_of_a_long_answer_fits_after_conversion(slack: Slack) -> None:
    text = "\n\n".join(f"**{n}** a < b && c > d, see [this](https://x.y/{n}) & that. " * 9 for n in range(40))
    pieces = slack.pieces(text)
    assert len(pieces) > 1
    assert all(len(to_mrkdwn(piece)) <= PIECE_CHARACTERS for piece in pieces)
    assert pieces == slack.pieces(text), "delivery goes on by index after a crash"


@pytest.mark.parametrize(
    "error", ["ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"]
)
def test_errors_that_pass_are_busy(slack: Slack, slack_api: SlackApi, error: str) -> None:
    slack_api.script(Answer(document={"ok": False, "error": error}, headers={"Retry-After": "7"}))
    with pytest.raises(ChannelBusy, match=error) as busy:
        slack.send(THREAD, "hi")
    assert busy.value.retry_after == 7


@pytest.mark.parametrize("error", ["invalid_auth", "channel_not_found", "token_revoked", "msg_too_long", "is_archived"])
def test_errors_that_stay_are_refusals(slack: Slack, slack_api: SlackApi, error: str) -> None:
    slack_api.script(Answer(document={"ok": False, "error": error}))
    with pytest.raises(ChannelRefused, match=error):
        slack.send(THREAD, "hi")


def test_a_429_says_when_to_come_back_and_the_next_try_succeeds(slack: Slack, slack_api: SlackApi) -> None:
    slack_api.script(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "30"}))
    with pytest.raises(ChannelBusy) as busy:
        slack.send(THREAD, "hi")
    assert busy.value.retry_after == 30
    assert len(slack_api.calls) == 1, "the outbox retries, nobody else"
    assert slack.send(THREAD, "hi")


@pytest.mark.parametrize(
    "document", [{}, {"ok": "yes"}, {"ok": False}, {"ok": False, "error": 7}, {"ok": None, "error": "X<&"}]
)
def test_a_strange_answer_is_a_refusal_that_repeats_nothing_of_it(
    slack: Slack, slack_api: SlackApi, document: dict[str, Any]
) -> None:
    slack_api.script(Answer(document=document))
    with pytest.raises(ChannelRefused, match="status 200"):
        slack.send(THREAD, "hi")


def test_a_success_without_a_ts_is_a_success(slack: Slack, slack_api: SlackApi) -> None:
    slack_api.script(Answer(document={"ok": True}))
    assert slack.send(THREAD, "hi") is None


@pytest.mark.parametrize(
    ("token", "reply_to"), [("", THREAD), ("xoxb-1", {}), ("xoxb\r\nX: y", THREAD), ("xöxb-✓", THREAD)]
)
def test_what_cannot_be_sent_is_refused_without_a_call(
    slack_api: SlackApi, token: str, reply_to: dict[str, str]
) -> None:
    slack = Slack({"bot_token": token, "api_url": slack_api.url}, "default", JsonPoster(), str)
    with pytest.raises(ChannelRefused) as refused:
        slack.send(reply_to, "hi")
    assert not token or token not in str(refused.value)
    assert not slack_api.calls


def test_half_a_character_does_not_stop_a_message(slack: Slack, slack_api: SlackApi) -> None:
    slack.send(THREAD, "half \ud83d")
    assert slack_api.calls[0].body["text"] == "half \ufffd"


def test_without_an_answer_slack_is_busy(slack: Slack, slack_api: SlackApi) -> None:
    slack_api.script(Answer(drop=True))
    with pytest.raises(ChannelBusy) as busy:
        slack.send(THREAD, "hi")
    assert busy.value.retry_after == PATIENCE_SECONDS
