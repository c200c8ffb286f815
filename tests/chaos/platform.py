"""A channel's API behind the proxy, and what it has taken."""

from __future__ import annotations

import json
from typing import Any

from parley.channels.http import READ_SECONDS
from scripts.local.http_server import HttpRequest, HttpResponse
from tests.channels.platforms import Platform


class PlatformService:
    """A `Service` of the proxy's: one platform."""

    patience = READ_SECONDS

    def __init__(self, channel: str, platform: Platform) -> None:
        self._channel = channel
        self.platform = platform
        self.taken: list[dict[str, Any]] = []
        """The bodies of all messages that the platform took, in order."""

    def name(self, request: HttpRequest) -> str:
        """For instance `slack.chat.postMessage`."""
        return f"{self._channel}.{request.target.rpartition('/')[2]}"

    def act(self, request: HttpRequest) -> HttpResponse:
        """The platform's answer."""
        headers = {name.lower(): value for name, value in request.headers}
        answer = self.platform.take(request.target, headers, request.body)
        if answer.document and answer.document.get("ok"):
            self.taken.append(json.loads(request.body))
        return HttpResponse(answer.status, list(answer.headers.items()), answer.body)

    def failure(self, request: HttpRequest, status: int) -> HttpResponse:
        """A failure as Slack and Telegram word it."""
        return HttpResponse(status, [("Retry-After", "30")], b'{"ok": false, "error": "ratelimited"}')
