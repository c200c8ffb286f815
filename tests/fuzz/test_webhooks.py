"""Whatever reaches a webhook: a stranger stores nothing, a platform's own bytes never make an error of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from parley.ports import WebhookRequest
from tests.channels.webhook_requests import slack_event, slack_request, telegram_request, telegram_update
from tests.fuzz.bodies import TEXTS, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Front

SLACK = slack_event({"thread_ts": "1.5", "subtype": "file_share", "channel_type": "im"})
TELEGRAM = telegram_update({"message_thread_id": 7, "is_topic_message": True})
HEADER_TEXTS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["X-Slack-Signature", "X-Slack-Request-Timestamp", "X-Telegram-Bot-Api-Secret-Token", "Content-Type", "Accept",
         "Content-Encoding", "Cookie", "Authorization", "X-Slack-Retry-Num"]
    ),
    HEADER_TEXTS | st.sampled_from(["application/json", "text/xml", "multipart/form-data", "v0=00", "9" * 400, "-1"]),
    max_size=4,
)  # fmt: skip
PLACES = st.sampled_from(["slack/default", "telegram/default", "slack/nobody", "whatsapp/default"]) | TEXTS.map(
    lambda text: f"{quote(text.encode(errors='replace'), safe='') or 'x'}/default"
)


def slack(body: bytes, headers: Mapping[str, str]) -> WebhookRequest:
    signed = slack_request(body, at=time.time())
    return WebhookRequest("POST", {**headers, **signed.headers}, {}, body)


def telegram(body: bytes, headers: Mapping[str, str]) -> WebhookRequest:
    return WebhookRequest("POST", {**headers, **telegram_request(body).headers}, {}, body)


@bounded(100)
@given(PLACES, st.sampled_from(["POST", "GET"]), HEADERS, hostile(SLACK) | hostile(TELEGRAM))
def test_nobody_without_the_secret_stores_anything(
    front: Front, place: str, method: str, headers: dict[str, str], body: bytes
) -> None:
    answer = front.ask(method, f"/webhooks/{place}", headers, body)
    assert answer.status in (401, 404)
    assert answer.is_clean()
    assert answer.error()["message"]
    assert answer.counted["WebhooksRejected"] == 1
    assert front.waiting() == 0


PLATFORMS: Any = st.one_of(
    st.tuples(st.just("slack"), hostile(SLACK), st.just(slack)),
    st.tuples(st.just("telegram"), hostile(TELEGRAM), st.just(telegram)),
)


@bounded(150)
@given(PLATFORMS, HEADERS)
def test_what_a_platform_signs_is_a_message_or_refused_with_the_reason(
    front: Front, platform: tuple[str, bytes, Any], headers: dict[str, str]
) -> None:
    name, body, sign = platform
    request = sign(body, headers)
    answer = front.ask("POST", f"/webhooks/{name}/default", request.headers, body)
    assert answer.status in (200, 400)
    assert answer.is_clean()
    if answer.status == 400:
        assert answer.error()["message"]
        assert answer.counted["WebhooksRejected"] == 1
        assert front.waiting() == 0
    assert front.run("think")[1] == 0, "what was acknowledged can be stored"


@bounded(60)
@given(TEXTS)
def test_any_text_of_a_person_can_be_stored_and_asked(front: Front, text: str) -> None:
    body = json.dumps(slack_event({"text": text, "ts": f"{time.time_ns()}.1"})).encode()
    assert front.ask("POST", "/webhooks/slack/default", slack(body, {}).headers, body).status == 200
    assert front.run("think")[1] == 0


def test_a_body_over_the_limit_is_refused_and_counted(front: Front) -> None:
    body = b"x" * 300_000
    answer = front.ask("POST", "/webhooks/slack/default", slack(body, {}).headers, body)
    assert answer.status == 413
    assert answer.counted["WebhooksRejected"] == 1
