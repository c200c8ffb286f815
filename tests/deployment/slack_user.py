"""A user who writes on Slack to the recorded system, in one thread."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time

from tests.deployment.recorded_system import RecordedSystem

SIGNING_SECRET, TOKEN = "signing-secret-of-the-tests", "xoxb-of-the-tests"
SECRETS = {"SLACK_SIGNING_SECRET": SIGNING_SECRET, "SLACK_BOT_TOKEN": TOKEN}

NUMBERS = itertools.count(1)
"""No two messages have the same time stamp, by which Slack names them."""


def webhook(text: str) -> tuple[bytes, dict[str, str]]:
    """A message's body, and the headers that sign it."""
    number = f"17.{next(NUMBERS):06}"
    event = {"type": "message", "channel": "C1", "user": "U1", "text": text, "ts": number, "thread_ts": "17.0"}
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": number, "event": event}).encode()
    stamp = str(int(time.time()))
    mac = hmac.new(SIGNING_SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return body, {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}


def say(system: RecordedSystem, text: str) -> None:
    """A signed webhook, which must be taken."""
    body, signed = webhook(text)
    assert system.http("POST", "/webhooks/slack/default", body, signed).status == 200
