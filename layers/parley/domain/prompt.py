"""From a conversation's messages to a Chat Completions request. Bounds bytes only: the model's server knows tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from parley.domain.bot import Bot
from parley.domain.message import Message, Said

HISTORY_MESSAGES = 40
"""How many stored messages a turn reads: the bound that keeps a turn's cost apart from its conversation's length."""

HISTORY_BYTES = 400_000
"""How much text of earlier turns goes along; the newest stays."""

ENTRY_BYTES = 40
"""What an entry takes beside its text: role, names and brackets, in a request as in a record or an item."""

SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty")


def build(bot: Bot, messages: Sequence[Message], turn: int) -> dict[str, Any]:
    """The request for `turn`: the system prompt, what fits of the turns before, and the turn's own messages.

    Messages are ordered by turn, then sequence: one that came while an earlier turn was being answered was stored
    before that answer, but is said after it. Withdrawn messages and later turns are left out.
    """
    spoken = [m for m in messages if m.turn <= turn and m.role in ("user", "assistant") and m.text]
    ordered = sorted(spoken, key=lambda m: (m.turn, m.sequence))
    own = [m for m in ordered if m.turn == turn]
    options = {key: value for message in own for key, value in message.options.items()}
    said = flatten(m for m in ordered if m.turn < turn), flatten(own)
    system = options.get("instructions") or bot.instructions
    if any(entry.role == "system" for entry in said[1]):
        # The caller brought a system prompt along: it stands in the place of the bot's.
        system = "\n\n".join(entry.text for entry in said[1] if entry.role == "system")
    entries = [entry for entry in [*newest(said[0], HISTORY_BYTES), *said[1]] if entry.role != "system"]
    head = [Said("system", system)] if system else []
    wishes = {**bot.settings, **{key: options[key] for key in SAMPLING if key in options}}
    return {"messages": [{"role": e.role, "content": e.text} for e in [*head, *entries]], **wishes}


def flatten(messages: Iterable[Message]) -> list[Said]:
    """Each message after what its caller sent before it."""
    return [entry for m in messages for entry in (*m.preface, Said(m.role, m.text))]


def newest(entries: Sequence[Said], budget: int) -> list[Said]:
    """The longest tail of the entries whose sizes add up to at most `budget` bytes."""
    kept = 0
    for start in range(len(entries), 0, -1):
        kept += size(entries[start - 1])
        if kept > budget:
            return list(entries[start:])
    return list(entries)


def size(entry: Said) -> int:
    """How many bytes it takes in a request or a record: as JSON, where a control character takes six."""
    return len(json.dumps(entry.text, ensure_ascii=False).encode(errors="surrogatepass")) + ENTRY_BYTES
