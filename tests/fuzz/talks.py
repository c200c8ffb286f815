"""A conversation on Slack as the tests of queues need it: begun, asked, answered, each by one call."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from typing import Any

from parley.channels.http import ApiAnswer
from parley.channels.slack import Slack
from parley.domain.conversation import Conversation
from parley.domain.turn import Turn
from tests.channels.webhook_requests import slack_event, slack_request
from tests.fuzz.conftest import SECRETS
from tests.fuzz.front import Front

ANSWER: dict[str, Any] = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "compute_ms": 12},
    "parley": {"dropped_messages": 0},
}
_NUMBERS = itertools.count(1)


class Poster:
    """Slack's API, where every post succeeds."""

    def __init__(self) -> None:
        self.posted: list[Mapping[str, Any]] = []

    def post(self, api: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> ApiAnswer:
        self.posted.append(body)
        return ApiAnswer(200, {"ok": True, "ts": "1.1"}, 1.0)


class SlackOnly:
    """`Channels` with Slack over a `Poster`."""

    def __init__(self) -> None:
        self.poster = Poster()
        http: Any = self.poster
        self._slack = Slack(SECRETS["bots/default/slack"], "default", http, lambda: "trace")

    def get(self, channel: str, bot: str) -> Slack | None:
        return self._slack if (channel, bot) == ("slack", "default") else None


class Talk:
    """One conversation; its first message is stored, and the model is asked."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._thread = f"{next(_NUMBERS)}.1"
        self.id = f"slack:T1:C1/{self._thread}"
        self.channels = SlackOnly()
        parts: Any = front.parts
        parts.channels = self.channels
        self.say("Hello")

    def say(self, text: str) -> None:
        """The user writes; the message is stored."""
        event = slack_event({"text": text, "ts": f"{next(_NUMBERS)}.5", "thread_ts": self._thread})
        body = json.dumps(event).encode()
        answer = self._front.ask("POST", "/webhooks/slack/default", slack_request(body, time.time()).headers, body)
        assert answer.status == 200
        assert self._front.run("think") == (1, 0)

    @property
    def call(self) -> dict[str, Any]:
        """The last request to the model."""
        return self._front.calls.asked[-1]

    @property
    def state(self) -> Conversation:
        """The conversation."""
        found = self._front.parts.conversations.find(self.id)
        assert found is not None
        return found

    @property
    def turn(self) -> Turn:
        """Its last turn."""
        found = self._front.parts.conversations.turn(self.id, self.state.turn)
        assert found is not None
        return found

    def goes_on(self) -> None:
        """Whatever happened before: a message is stored, asked with texts that are texts, answered and delivered."""
        posted = len(self.channels.poster.posted)
        while self.state.status != "idle":  # a record that was one of ours after all waits for its own turn
            self._front.finish(self.call, json.dumps(ANSWER).encode())
            assert self._front.run("reply") == (1, 0)
        self.say("Still there?")
        asked = self._front.request(self.call)
        assert all(isinstance(entry["content"], str) for entry in asked["messages"])
        assert asked["messages"][-1]["content"] == "Still there?"
        self._front.finish(self.call, json.dumps(ANSWER).encode())
        assert self._front.run("reply") == (1, 0)
        assert self.state.status == "idle"
        assert self._front.run("deliver")[1] == 0
        assert len(self.channels.poster.posted) > posted
