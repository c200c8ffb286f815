"""Webhook requests as the platforms make them. Slack's are signed by slack_sdk, not by the code under test."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from slack_sdk.signature import SignatureVerifier

from parley.ports import WebhookRequest

NOW = 1_700_000_000.0
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SECRET_TOKEN = "Abc_123-xyz"


def slack_request(body: Mapping[str, Any] | bytes, at: float = NOW, secret: str = SIGNING_SECRET) -> WebhookRequest:
    """A signed request of Slack's."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    timestamp = str(int(at))
    try:
        signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=raw) or ""
    except ValueError:  # slack_sdk signs UTF-8 only, and with no empty secret; a stranger does not care
        signed = f"v0:{timestamp}:".encode() + raw
        signature = f"v0={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    headers = {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
    return WebhookRequest("POST", headers, {}, raw)


def slack_event(event: Mapping[str, Any], **envelope: Any) -> dict[str, Any]:
    """The envelope around an event; `event` fills up a plain message in channel C1."""
    message = {"type": "message", "channel": "C1", "user": "U1", "ts": "1700000000.000100", "text": "hello"}
    return {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "event_id": "Ev1",
        "event_time": 1700000000,
        "authorizations": [{"team_id": "T1", "user_id": "U0BOT", "is_bot": True}],
        "event": {name: value for name, value in {**message, **event}.items() if value is not None},
        **envelope,
    }


def telegram_request(body: Mapping[str, Any] | bytes, secret: str = SECRET_TOKEN) -> WebhookRequest:
    """A request of Telegram's."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookRequest("POST", {"x-telegram-bot-api-secret-token": secret}, {}, raw)


def telegram_update(message: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An update with a message in a private chat; `message` changes fields of it, None removes one."""
    plain: dict[str, Any] = {
        "message_id": 1365,
        "date": 1700000000,
        "chat": {"id": 1111111, "type": "private"},
        "from": {"id": 1111111, "is_bot": False, "first_name": "Test", "language_code": "en"},
        "text": "hello",
    }
    merged = {name: value for name, value in {**plain, **(message or {})}.items() if value is not None}
    return {"update_id": 10000, "message": merged, **fields}
