"""Slack at both ends of the system, on loopback: signed webhooks that go in, and the API that gets the answers."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable

from tests.channels.platforms import Answer, Call, SlackApi

SECRET, TOKEN = "bench-signing-secret", "xoxb-bench"
PATH = "/webhooks/slack/default"


class SlackSide(SlackApi):
    """Slack's API, which tells the load of every answer: `heard(thread, text)`."""

    def __init__(self) -> None:
        super().__init__(TOKEN)
        self.heard: Callable[[str, str], None] = lambda thread, text: None

    @property
    def secret(self) -> dict[str, str]:
        """The bot's credentials, which lead to this API."""
        return {"signing_secret": SECRET, "bot_token": TOKEN, "api_url": self.url}

    def answer(self, call: Call) -> Answer:
        """As Slack; and note the answer."""
        answer = super().answer(call)
        if answer.document.get("ok"):
            self.heard(str(call.body["thread_ts"]), str(call.body["text"]))
        return answer


def signed(body: bytes) -> dict[str, str]:
    """The headers of a webhook that Slack would have sent now."""
    stamp = str(int(time.time()))
    mac = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json", "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}",
    }  # fmt: skip


def message(thread: str, number: int, user: str, text: str) -> bytes:
    """The body of a webhook: a user's `number`th message in a thread."""
    event = {"type": "message", "channel": "C1", "user": user, "text": text, "thread_ts": thread}
    event["ts"] = f"{thread}{number:06d}"
    return json.dumps({"type": "event_callback", "team_id": "T1", "event_id": event["ts"], "event": event}).encode()


class Webhooks:
    """Posts webhooks to a gateway; each thread that calls keeps a connection of its own."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway.removeprefix("http://")
        self._open = threading.local()

    def post(self, body: bytes) -> int:
        """The status that a signed webhook is answered with. Raises OSError or HTTPException without an answer."""
        connection: http.client.HTTPConnection | None = getattr(self._open, "connection", None)
        if connection is None:
            connection = self._open.connection = http.client.HTTPConnection(self._gateway, timeout=60)
        try:
            connection.request("POST", PATH, body, signed(body))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        return answer.status
