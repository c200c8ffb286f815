"""A Chat Completions response, read with suspicion: it may come from any container, broken off or not JSON at all."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from parley.domain.turn import ModelReply

MAX_TEXT_CHARACTERS = 100_000
"""Longest answer that is kept: with its envelope it fits a queue record (1 MiB) and a table item (400 KB)."""


FINISHES = frozenset({"stop", "length", "content_filter", "tool_calls"})
"""Why a model ends, in the protocol's words; any other word is taken for `stop`."""

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "compute_ms")
"""The counts that are kept of a response's `usage`."""

MOST_COUNT = 2**53


def read_completion(payload: bytes) -> ModelReply:
    """The reply in a response's bytes; what cannot be read, or says nothing, is a reply with an error."""
    try:
        response = json.loads(payload)
        choice = response["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ModelReply(error="the model's answer is no Chat Completions response")
    said = clean(text)[:MAX_TEXT_CHARACTERS].strip() if isinstance(text, str) else ""
    if not said:
        return ModelReply(error="the model's answer has no text")
    finish = choice.get("finish_reason")
    return ModelReply(
        text=said,
        finish=finish if isinstance(finish, str) and finish in FINISHES else "stop",
        usage=_counts(response.get("usage"), USAGE),
        dropped=_counts(response.get("parley"), ("dropped_messages",)).get("dropped_messages", 0),
    )


def clean(text: str) -> str:
    """The text without what no table or queue holds: lone surrogates and NUL."""
    return text.encode(errors="replace").decode().replace("\x00", "")


def _counts(value: Any, names: Collection[str]) -> dict[str, int]:
    """The members of these names that are counts. Others are left out: they are stored, and the table has limits."""
    if not isinstance(value, dict):
        return {}
    found = {name: value[name] for name in names if name in value}
    return {
        name: n for name, n in found.items() if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MOST_COUNT
    }
