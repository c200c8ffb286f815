"""Telegram: webhooks of the Bot API in, `sendMessage` out.

Knows nothing of queues or conversations' states. Wire facts: core.telegram.org/bots/api (setWebhook, Update,
sendMessage, ResponseParameters). The bot's token is part of every address, so addresses are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from parley.channels.webhooks import json_object, object_at, same, text_at
from parley.domain.message import MAX_TEXT_CHARACTERS, Incoming, conversation_id
from parley.errors import BadRequest, ChannelRefused, Unauthorized
from parley.ports import Webhook, WebhookRequest

if TYPE_CHECKING:
    from parley.channels.http import ApiAnswer, JsonPoster

DEFAULT_API_URL = "https://api.telegram.org"

_START = re.compile(r"/start(?:@\w+)?(?:\s.*)?", re.DOTALL)


class Telegram:
    """One bot on Telegram. Credentials: `bot_token`, `secret_token`, and `api_url` where it is not Telegram's own."""

    name = "telegram"

    def __init__(
        self, credentials: Mapping[str, str], bot: str, http: JsonPoster, new_trace: Callable[[], str]
    ) -> None:
        self._secret_token = credentials.get("secret_token", "")
        self._bot_token = credentials.get("bot_token", "")
        self._api_url = (credentials.get("api_url") or DEFAULT_API_URL).rstrip("/")
        # The digits before the colon are the bot's public id. A token without them gives the bot's name, never itself.
        public_id = re.match(r"([0-9]+):", self._bot_token)
        self._account = public_id[1] if public_id else bot
        self._bot = bot
        self._http = http
        self._new_trace = new_trace

    def read(self, request: WebhookRequest, now: float) -> Webhook:
        """The message of an update that carries the secret, or nothing for what is not served.

        The answer's body is always empty: Telegram runs a JSON answer as a call of its API. Raises Unauthorized for a
        missing or wrong secret, BadRequest for a body that is no update.
        """
        if not same(request.headers.get("x-telegram-bot-api-secret-token", ""), self._secret_token):
            raise Unauthorized("X-Telegram-Bot-Api-Secret-Token is not the secret_token of this bot's webhook")
        update = json_object(request.body)
        update_id = _integer(update, "update_id")
        message = object_at(update, "message")
        sender = object_at(message, "from")
        text = _text(message, sender)
        if not text or not sender or sender.get("is_bot"):
            return Webhook()
        chat = _integer(object_at(message, "chat"), "id")
        topic = _topic(message)
        reply_to = {"chat_id": str(chat)}
        if topic:
            reply_to["message_thread_id"] = str(topic)
        incoming = Incoming(
            event=str(update_id),
            conversation=conversation_id(self.name, self._account, f"{chat}/{topic}" if topic else str(chat)),
            bot=self._bot,
            user=f"{self.name}:{_integer(sender, 'id')}",
            text=text,
            received=now,
            trace=self._new_trace(),
            reply_to=reply_to,
        )
        return Webhook(messages=(incoming,))

    def pieces(self, text: str) -> list[str]:
        """The text in pieces of at most 4,000 visible UTF-16 units; one piece "…" where nothing would show."""
        from parley.channels import telegram_html

        return telegram_html.pieces(text)

    def send(self, reply_to: Mapping[str, str], piece: str) -> str | None:
        """Send one piece; comes back with its `message_id`. Raises ChannelBusy or ChannelRefused.

        Where Telegram says what is wrong with a request, it is put right and sent again at once, each thing once: a
        group that has become a supergroup, a topic that is gone, markup that Telegram does not take.
        """
        message = _message(reply_to, piece)
        for _ in range(4):
            answer = self._post(message)
            if answer.document.get("ok") is True:
                return _id_of(answer)
            corrected = _corrected(message, answer, piece)
            if corrected is None:
                break
            message = corrected
        raise ChannelRefused(f"Telegram sendMessage: status {answer.status}: {self._description(answer)}")

    def _post(self, message: Mapping[str, Any]) -> ApiAnswer:
        if not self._bot_token:
            raise ChannelRefused("Telegram: no bot_token; nothing was sent")
        return self._http.post("Telegram sendMessage", f"{self._api_url}/bot{self._bot_token}/sendMessage", message)

    def _description(self, answer: ApiAnswer) -> str:
        """Telegram's own words for an error, made safe for a log."""
        return text_at(answer.document, "description").replace(self._bot_token, "(token)")[:200] or "no description"


def _integer(document: Mapping[str, Any], name: str) -> int:
    """A 64-bit integer field. Raises BadRequest."""
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
        raise BadRequest(f"{name} is missing or no integer", param=name)
    return value


def _text(message: Mapping[str, Any], sender: Mapping[str, Any]) -> str:
    """What a person wrote, or wrote under a picture; empty when there is nothing to read."""
    text = (text_at(message, "text") or text_at(message, "caption")).strip()
    if _START.fullmatch(text):
        # Nobody types this: Telegram sends it when a person opens the bot, as its way to say hello. A model would try
        # to make sense of the word, and the payload behind it is a link's, not the person's.
        return "你好" if text_at(sender, "language_code").lower().startswith("zh") else "Hello"
    return text[:MAX_TEXT_CHARACTERS].strip()


def _topic(message: Mapping[str, Any]) -> int | None:
    """The forum topic of a message.

    Replies in groups without topics carry a message_thread_id too, which sendMessage then does not know ("message
    thread not found", tdlib/telegram-bot-api issues 447 and 356): only a topic's counts.
    """
    is_reply_thread = message.get("is_topic_message") is not True and bool(message.get("reply_to_message"))
    if message.get("message_thread_id") is None or is_reply_thread:
        return None
    return _integer(message, "message_thread_id")


def _message(reply_to: Mapping[str, str], piece: str) -> dict[str, Any]:
    """The body of sendMessage."""
    from parley.channels.telegram_html import to_html

    try:
        chat, topic = int(reply_to["chat_id"]), reply_to.get("message_thread_id")
        message: dict[str, Any] = {"chat_id": chat, **({"message_thread_id": int(topic)} if topic else {})}
    except (KeyError, ValueError):
        raise ChannelRefused("Telegram: no chat_id to answer in; nothing was sent") from None
    # A preview is fetched: an address that a model was talked into could carry what was said to its owner.
    message["link_preview_options"] = {"is_disabled": True}
    return {**message, "text": to_html(piece).html, "parse_mode": "HTML"}


def _corrected(message: Mapping[str, Any], answer: ApiAnswer, piece: str) -> dict[str, Any] | None:
    """The message with what Telegram found wrong put right; None where nothing can be done."""
    from parley.channels.telegram_html import to_plain

    if answer.status != 400:
        return None
    migrated = object_at(answer.document, "parameters").get("migrate_to_chat_id")
    if isinstance(migrated, int) and migrated != message["chat_id"]:
        return {**message, "chat_id": migrated}
    description = text_at(answer.document, "description").lower()
    if "thread not found" in description and "message_thread_id" in message:
        return {name: value for name, value in message.items() if name != "message_thread_id"}
    if "can't parse" in description and "parse_mode" in message:
        plain = {name: value for name, value in message.items() if name != "parse_mode"}
        return {**plain, "text": to_plain(piece)}
    return None


def _id_of(answer: ApiAnswer) -> str | None:
    message_id = object_at(answer.document, "result").get("message_id")
    return str(message_id) if isinstance(message_id, int) else None
