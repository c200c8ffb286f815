"""POST /webhooks/{channel}/{bot}: platforms' webhooks into receive()."""

from __future__ import annotations

import json
import time

from chalice.app import Request, Response

from chalicelib import edge
from chalicelib.wiring import wiring
from parley.errors import RequestError, TooLarge
from parley.openai_api import failures
from parley.openai_api.fields import MAX_BODY_BYTES
from parley.ports import WebhookAnswer
from parley.stages.webhook_to_inbox import receive

RETRY = WebhookAnswer(503, "try again")
"""The inbox did not take the message: platforms repeat on any 5xx."""


def take(request: Request, channel: str, bot: str) -> Response:
    """The platform's answer: as receive() says, 4xx for a refused request, 503 when the message is not safe yet."""
    return edge.guard(
        wiring().telemetry, request, lambda: _response(_take(request, channel, bot)), lambda: _response(RETRY)
    )


def _response(answer: WebhookAnswer) -> Response:
    headers: dict[str, str | list[str]] = {"Content-Type": f"{answer.content_type}; charset=utf-8"}
    return Response(body=answer.body, status_code=answer.status, headers=headers)


def _take(request: Request, channel: str, bot: str) -> WebhookAnswer:
    asked = edge.webhook_request(request)
    try:
        if len(asked.body) > MAX_BODY_BYTES:
            raise TooLarge(f"The body has more than {MAX_BODY_BYTES:,} bytes, which is the most that is taken.")
        return receive(channel, bot, asked, time.time(), wiring())
    except RequestError as error:
        wiring().telemetry.count("WebhooksRejected")
        wiring().telemetry.note("webhook rejected", channel=channel, bot=bot, reason=type(error).__name__)
        status, body, _ = failures.show(error)
        return WebhookAnswer(status, json.dumps(body), "application/json")
