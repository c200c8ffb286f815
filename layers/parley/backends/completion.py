"""A Chat Completions response, read with suspicion: it may come from any container, broken off or not JSON at all."""

from __future__ import annotations

import json
from typing import Any

from parley.domain.turn import ModelReply

MAX_TEXT_CHARACTERS = 100_000
"""Longest answer that is kept: with its envelope it fits a queue record (1 MiB) and a table item (400 KB)."""


def read_completion(payload: bytes) -> ModelReply:
    """The reply in a response's bytes; what cannot be read, or says nothing, is a reply with an error."""
    try:
        response = json.loads(payload)
        choice = response["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ModelReply(error="the model's answer is no Chat Completions response")
    if not isinstance(text, str) or not text.strip():
        return ModelReply(error="the model's answer has no text")
    clean = text.encode(errors="replace").decode().replace("\x00", "")
    return ModelReply(
        text=clean[:MAX_TEXT_CHARACTERS],
        finish=str(choice.get("finish_reason") or "stop"),
        usage=_counts(response.get("usage")),
        dropped=_counts(response.get("parley")).get("dropped_messages", 0),
    )


def _counts(value: Any) -> dict[str, int]:
    """The members that are whole numbers."""
    if not isinstance(value, dict):
        return {}
    return {str(name): n for name, n in value.items() if isinstance(n, int) and not isinstance(n, bool)}
