"""Slack: webhooks of the Events API in, `chat.postMessage` out.

Knows nothing of queues or conversations' states. Wire facts: docs.slack.dev (Events API, verifying requests,
chat.postMessage, formatting message text).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from parley.channels.webhooks import json_object, same, text_at
from parley.domain.message import MAX_TEXT_CHARACTERS, Incoming, conversation_id
from parley.errors import BadRequest, ChannelBusy, ChannelRefused, Unauthorized
from parley.ports import Webhook, WebhookAnswer, WebhookRequest

if TYPE_CHECKING:
    from parley.channels.http import JsonPoster

DEFAULT_API_URL = "https://slack.com/api"
SIGNATURE_SECONDS = 300
"""How far a request's timestamp may be from now: Slack's own limit against replays."""

_BUSY = frozenset({"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_SERVED_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_SECONDS = re.compile(r"[0-9]{1,12}")
_ANGLED = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_LEADING_MENTION = re.compile(r"\s*<@[A-Z0-9]+(?:\|[^<>]*)?>")


class Slack:
    """One bot on Slack. Credentials: `signing_secret`, `bot_token`, and `api_url` where it is not Slack's own."""

    name = "slack"

    def __init__(
        self, credentials: Mapping[str, str], bot: str, http: JsonPoster, new_trace: Callable[[], str]
    ) -> None:
        self._signing_secret = credentials.get("signing_secret", "")
        self._bot_token = credentials.get("bot_token", "")
        self._post_message = f"{(credentials.get('api_url') or DEFAULT_API_URL).rstrip('/')}/chat.postMessage"
        self._bot = bot
        self._http = http
        self._new_trace = new_trace

    def read(self, request: WebhookRequest, now: float) -> Webhook:
        """The message of a signed event, the answer to a signed handshake, or nothing for what is not served.

        Raises Unauthorized for a bad signature or a timestamp more than 300 s from `now`, BadRequest for a body that
        is no event.
        """
        self._verify(request, now)
        document = json_object(request.body)
        kind = document.get("type")
        if kind == "url_verification":
            return Webhook(answer=WebhookAnswer(body=_challenge(document)))
        if kind != "event_callback":  # app_rate_limited, or something newer than this code
            return Webhook()
        message = self._message(document, now)
        return Webhook(messages=(message,) if message else ())

    def pieces(self, text: str) -> list[str]:
        """The text in pieces of at most 3,900 characters of mrkdwn; one piece "…" where nothing would show."""
        from parley.channels import slack_mrkdwn

        return slack_mrkdwn.pieces(text)

    def send(self, reply_to: Mapping[str, str], piece: str) -> str | None:
        """Post one piece; comes back with Slack's `ts` of it. Raises ChannelBusy or ChannelRefused."""
        from parley.channels.slack_mrkdwn import to_mrkdwn

        channel = reply_to.get("channel", "")
        if not channel or not self._bot_token:
            raise ChannelRefused(f"Slack: no {'bot_token' if channel else 'channel to answer in'}; nothing was sent")
        message = {"channel": channel, "text": to_mrkdwn(piece), "mrkdwn": True}
        # A preview is fetched: an address that a model was talked into could carry what was said to its owner.
        message |= {"unfurl_links": False, "unfurl_media": False}
        if reply_to.get("thread_ts"):
            message["thread_ts"] = reply_to["thread_ts"]
        authorization = {"Authorization": f"Bearer {self._bot_token}"}
        answer = self._http.post("Slack chat.postMessage", self._post_message, message, authorization)
        if answer.document.get("ok") is True:
            return text_at(answer.document, "ts") or None
        # Slack names errors in lower-case words; anything else could repeat what it was sent.
        error = text_at(answer.document, "error")
        error = error if re.fullmatch(r"[a-z0-9_]{1,60}", error) else f"status {answer.status}"
        if error in _BUSY:
            raise ChannelBusy(f"Slack chat.postMessage: {error}", answer.retry_after)
        raise ChannelRefused(f"Slack chat.postMessage: {error}")

    def _verify(self, request: WebhookRequest, now: float) -> None:
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        if not _SECONDS.fullmatch(timestamp) or abs(now - int(timestamp)) > SIGNATURE_SECONDS:
            raise Unauthorized("X-Slack-Request-Timestamp is missing, or more than 300 s from this server's clock")
        signed = b"v0:" + timestamp.encode("ascii") + b":" + request.body
        digest = hmac.new(self._signing_secret.encode(), signed, hashlib.sha256).hexdigest()
        # With an empty secret anybody could sign.
        if not self._signing_secret.strip() or not same(request.headers.get("x-slack-signature", ""), f"v0={digest}"):
            raise Unauthorized("X-Slack-Signature is not this body's, signed with signing_secret")

    def _message(self, document: Mapping[str, Any], now: float) -> Incoming | None:
        """The message of an event callback; None for an event that is not a person's message."""
        event = document.get("event")
        if not isinstance(event, dict):
            raise BadRequest("an event_callback without an event", param="event")
        own = _own_users(document)
        if not _is_from_a_person(event, own):
            return None
        text = _plain_text(text_at(event, "text"), own, event.get("type") == "app_mention")
        if not text:
            return None
        team, user = _checked(document, "team_id", _ID), _checked(event, "user", _ID)
        channel, ts = _checked(event, "channel", _ID), _checked(event, "ts", _TIMESTAMP)
        thread_ts = _checked(event, "thread_ts", _TIMESTAMP) if event.get("thread_ts") else ""
        if not thread_ts and not (event.get("channel_type") == "im" or channel.startswith("D")):
            thread_ts = ts  # in a channel the answer opens a thread, which then is the conversation
        return Incoming(
            # Not event_id: a mention in a channel comes as app_mention and as message, with two event ids and one ts.
            # The ts is the message's id within its channel, so this collapses both, and Slack's retries as well.
            event=f"{channel}:{ts}",
            conversation=conversation_id(self.name, team, f"{channel}/{thread_ts}" if thread_ts else channel),
            bot=self._bot,
            user=f"{self.name}:{team}:{user}",
            text=text,
            received=now,
            trace=self._new_trace(),
            reply_to={"channel": channel, "thread_ts": thread_ts} if thread_ts else {"channel": channel},
        )


def _challenge(document: Mapping[str, Any]) -> str:
    challenge = text_at(document, "challenge")
    if not challenge:
        raise BadRequest("a url_verification without a challenge", param="challenge")
    return challenge


def _own_users(document: Mapping[str, Any]) -> set[str]:
    """The user ids under which this app itself speaks."""
    authorizations = document.get("authorizations")
    entries = authorizations if isinstance(authorizations, list) else []
    own = (text_at(entry, "user_id") for entry in entries if isinstance(entry, dict) and entry.get("is_bot") is True)
    return {user for user in own if user}


def _is_from_a_person(event: Mapping[str, Any], own: set[str]) -> bool:
    """Whether an event is something said to the bot: no edit, deletion or join, and no bot's word (it would loop)."""
    if event.get("type") not in ("message", "app_mention") or event.get("bot_id"):
        return False
    subtype = event.get("subtype") or ""
    return isinstance(subtype, str) and subtype in _SERVED_SUBTYPES and text_at(event, "user") not in own | {""}


def _checked(document: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    """A field of the given form. Raises BadRequest: ids become part of other ids, so nothing else may be in them."""
    value = text_at(document, name)
    if not form.fullmatch(value):
        raise BadRequest(f"{name} is missing or has not the form of Slack's", param=name)
    return value


def _plain_text(text: str, own: set[str], mentioned: bool) -> str:
    """What a person wrote, from Slack's markup: without the mention of the bot, links as text, escapes resolved."""
    if mentioned and not own:
        text = _LEADING_MENTION.sub("", text, count=1)

    def shown(angled: re.Match[str]) -> str:
        return _shown(angled[1], angled[2] or "", own)

    text = _ANGLED.sub(shown, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text.strip()[:MAX_TEXT_CHARACTERS].strip()


def _shown(target: str, label: str, own: set[str]) -> str:
    """What stands between angle brackets, as a person sees it."""
    if target.startswith("@"):
        return "" if target[1:] in own else f"@{label.removeprefix('@') or target[1:]}"
    if target.startswith("#"):
        return f"#{label.removeprefix('#') or target[1:]}"
    if target.startswith("!"):  # <!here>, <!date^...|fallback>, <!subteam^S1|@group>
        return label or f"@{target[1:]}"
    # Slack makes links of bare addresses by itself; there the label says all that the person typed.
    if not label or target in (label, f"mailto:{label}", f"http://{label}", f"https://{label}"):
        return label or target
    return f"{label} ({target})"
