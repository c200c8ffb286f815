"""Shapes of Chat Completions answers: the whole one, the chunks of a stream, log-probabilities, the list of models.

Pure: from values to JSON-ready dicts. Knows no HTTP and no engine.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chat import Chat
from engine.sequence import Finish, Sampled

FINISH_REASONS = {Finish.STOP: "stop", Finish.LENGTH: "length"}


@dataclass(frozen=True)
class Answer:
    """What all parts of one answer share: its id, the model's name and the time it began (epoch seconds)."""

    model: str
    dropped: int
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        """The one body of an answer that is not streamed."""
        return {
            **self._head("chat.completion"),
            "choices": choices,
            "usage": usage,
            "parley": {"dropped_messages": self.dropped},
        }

    def chunk(self, choices: list[dict[str, Any]], with_usage: bool) -> dict[str, Any]:
        """One chunk of a stream; `usage` is null in it when the client asked for usage at the end."""
        chunk = {**self._head("chat.completion.chunk"), "choices": choices}
        return {**chunk, "usage": None} if with_usage else chunk

    def last_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The chunk that carries usage and no choices."""
        return {
            **self._head("chat.completion.chunk"),
            "choices": [],
            "usage": usage,
            "parley": {"dropped_messages": self.dropped},
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def finish_reason(finish: Finish, called: bool) -> str:
    """Why a choice ended, in OpenAI's words; calls that were read whole count more than how the text ended."""
    return "tool_calls" if called else FINISH_REASONS[finish]


def choice(index: int, message: dict[str, Any], finish: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    """One choice of a whole answer."""
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def delta(
    index: int, content: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One choice's part of a chunk."""
    return {"index": index, "delta": content, "logprobs": logprobs, "finish_reason": finish}


def logprobs(chat: Chat, tokens: Iterable[Sampled]) -> dict[str, Any]:
    """Log-probabilities of an answer's tokens; the token that ended it is not one of them."""
    return {"content": [_logprob(chat, s) for s in tokens if s.token not in chat.silent], "refusal": None}


def _logprob(chat: Chat, sampled: Sampled) -> dict[str, Any]:
    top = [_token(chat, token, value) for token, value in sampled.top]
    return {**_token(chat, sampled.token, sampled.logprob), "top_logprobs": top}


def _token(chat: Chat, token: int, value: float) -> dict[str, Any]:
    # JSON has no infinity; OpenAI writes -9999.0 for what is next to impossible.
    return {
        "token": chat.decode([token]),
        "logprob": max(value, -9999.0),
        "bytes": list(chat.token_bytes(token)),
    }


def event(payload: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + dumps(payload) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def dumps(payload: dict[str, Any]) -> bytes:
    """Compact UTF-8 JSON. A lone surrogate, which UTF-8 cannot hold, becomes a replacement character."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(errors="replace")


def models(name: str, adapters: Iterable[str], embedder: str | None, created: int) -> dict[str, Any]:
    """The list of models: the one that is loaded, its adapters with it as `parent`, and the one for embeddings."""

    def entry(model: str) -> dict[str, Any]:
        return {"id": model, "object": "model", "created": created, "owned_by": "parley"}

    others = [entry(embedder)] if embedder else []
    return {"object": "list", "data": [entry(name), *({**entry(a), "parent": name} for a in adapters), *others]}
