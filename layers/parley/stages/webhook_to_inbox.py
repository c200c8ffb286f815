"""receive(): a platform's webhook becomes records in the inbox. Knows no platform; the channel does."""

from __future__ import annotations

from parley.errors import NotFound
from parley.ports import Ports, WebhookAnswer, WebhookRequest


def receive(channel_name: str, bot: str, request: WebhookRequest, now: float, ports: Ports) -> WebhookAnswer:
    """The answer for the platform, once every message that the webhook brought is in the inbox.

    Raises NotFound when the channel is off for this bot, Unauthorized or BadRequest when the channel says so; nothing
    has been stored then. Any other exception means that the inbox did not take a message: the platform must retry.
    """
    channel = ports.channels.get(channel_name, bot)
    if channel is None:
        raise NotFound(f"channel {channel_name!r} is off for bot {bot!r}: it has no credentials here")
    webhook = channel.read(request, now)
    for incoming in webhook.messages:
        ports.telemetry.follow(incoming.trace, incoming.conversation)
        ports.inbox.put(incoming)
        ports.telemetry.count("MessagesReceived")
        ports.telemetry.note("message received", channel=channel_name, characters=len(incoming.text))
    return webhook.answer
