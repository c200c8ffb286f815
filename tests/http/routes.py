"""Every route of the app with what lets a request in, as Chalice's own table has them. Tests run over this list."""

from __future__ import annotations

import importlib
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
from slack_sdk.signature import SignatureVerifier

SLACK_SECRETS = {"default": "signing-secret-of-default", "second": "signing-secret-of-second"}
TELEGRAM_SECRETS = {"default": "hook-secret-of-default", "second": "hook-secret-of-second"}
SECRETS: dict[str, dict[str, Any]] = {
    **{f"bots/{bot}/slack": {"signing_secret": s, "bot_token": "xoxb-1"} for bot, s in SLACK_SECRETS.items()},
    **{f"bots/{bot}/telegram": {"bot_token": "1:a", "secret_token": s} for bot, s in TELEGRAM_SECRETS.items()},
}
"""Two bots on two channels, each with secrets of its own."""

SAY: dict[str, Any] = {"input": "hello", "background": True}
COMPLETE: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


@dataclass(frozen=True)
class Route:
    """One method of one pattern. `guard` is what it asks for, `owned` whether its `{id}` belongs to somebody."""

    method: str
    pattern: str
    guard: str
    body: Any = None
    owned: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"

    def path(self, id: str = "resp_x") -> str:
        """An address of the route."""
        return self.pattern.format(id=id, name="default", file="main.js", channel="slack", bot="default", sequence=2)

    def content(self) -> Any:
        """A body that the route takes, new at each call where a repeat would be the same message."""
        return {"text": "hello", "client_id": str(uuid.uuid4())} if self.body == "message" else self.body


ROUTES = [
    Route("GET", "/", "public"),
    Route("GET", "/web/{file}", "public"),
    Route("GET", "/health", "public"),
    Route("GET", "/openapi.json", "public"),
    Route("GET", "/webhooks/{channel}/{bot}", "signature"),
    Route("POST", "/webhooks/{channel}/{bot}", "signature"),
    Route("POST", "/v1/responses", "key", SAY),
    Route("GET", "/v1/responses/{id}", "key", owned=True),
    Route("DELETE", "/v1/responses/{id}", "key", owned=True),
    Route("POST", "/v1/responses/{id}/cancel", "key", {}, owned=True),
    Route("POST", "/v1/responses/{id}/feedback", "key", {"rating": "up"}, owned=True),
    Route("POST", "/v1/chat/completions", "key", COMPLETE),
    Route("GET", "/v1/models", "key"),
    Route("GET", "/v1/models/{name}", "key"),
    Route("GET", "/web/conversations", "visitor"),
    Route("GET", "/web/conversations/{id}", "visitor", owned=True),
    Route("DELETE", "/web/conversations/{id}", "visitor", owned=True),
    Route("POST", "/web/conversations/{id}/messages", "visitor", "message"),
    Route("POST", "/web/conversations/{id}/messages/{sequence}/feedback", "visitor", {"rating": "up"}, owned=True),
    Route("POST", "/web/conversations/{id}/cancel", "visitor", {}, owned=True),
]


def app_routes() -> set[tuple[str, str]]:
    """(method, pattern) of everything that the app routes."""
    table = importlib.import_module("app").app.routes
    return {(method, pattern) for pattern, methods in table.items() for method in methods}


def guarded(guard: str) -> list[Route]:
    """The routes that ask for this."""
    return [route for route in ROUTES if route.guard == guard]


def slack_headers(body: bytes, secret: str, stamp: float | None = None) -> dict[str, str]:
    """Slack's signature of a body."""
    moment = str(int(time.time() if stamp is None else stamp))
    signature = SignatureVerifier(secret).generate_signature(timestamp=moment, body=body) or ""
    return {"X-Slack-Request-Timestamp": moment, "X-Slack-Signature": signature, "Content-Type": "application/json"}


def slack_event(text: str = "hello", ts: str = "17.5") -> bytes:
    """A message in a channel."""
    inner = {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "text": text, "ts": ts}
    return json.dumps({"type": "event_callback", "team_id": "T1", "event": inner}).encode()


def telegram_update(text: str = "hello") -> bytes:
    """A message in a private chat."""
    sender = {"id": 7, "is_bot": False}
    message = {"message_id": 1, "date": 1, "from": sender, "chat": {"id": 77, "type": "private"}, "text": text}
    return json.dumps({"update_id": 1, "message": message}).encode()


@contextmanager
def visitor(url: str) -> Iterator[httpx.Client]:
    """A browser that has opened the page, and speaks as the page does."""
    with httpx.Client(base_url=url, timeout=20) as client:
        client.get("/")
        client.headers["X-Parley"] = "1"
        yield client
