"""Which messages of a conversation fit into the window: the system prompt and the newest ones first.

A tool call and its result are kept or dropped together. Knows templates only through `Chat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chat import Chat, Pictures, Prompt
from errors import TooLong
from messages import text_of

MARGIN = 4
"""Histories of more than this many windows are cut before they are rendered the first time."""

MOST_BYTES = 4
"""A character has at most four bytes in UTF-8, and no more tokens than bytes."""


@dataclass(frozen=True)
class Fitted:
    """The prompt, and how many messages were left out of it."""

    prompt: Prompt
    dropped: int


def fit(
    chat: Chat,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    options: dict[str, Any],
    limit: int,
    pictures: Pictures | None = None,
) -> Fitted:
    """The longest prompt of at most `limit` tokens: all leading system messages and as many of the newest as fit.

    Raises TooLong, with the limit and the length, when what must stay does not fit.
    """
    head, units = split(messages)
    tails = _tails(units)
    rendered: dict[int, Prompt] = {}

    def render(index: int) -> Prompt:
        if index not in rendered:
            kept = [message for unit in tails[index] for message in unit]
            rendered[index] = chat.prompt(head + kept, tools, options, pictures)
        return rendered[index]

    def length(index: int) -> int:
        return len(render(index).ids)

    low, high = _guess(chat, tails, limit), len(tails) - 1
    if low > 0 or length(low) > limit:
        if length(high) > limit:
            raise _too_long(chat, head, units, length(high), limit)
        while low < high:  # dropping more never makes a prompt longer, so halving finds the first that fits
            middle = (low + high) // 2
            low, high = (low, middle) if length(middle) <= limit else (middle + 1, high)
    kept = sum(len(unit) for unit in tails[low])
    return Fitted(render(low), len(messages) - len(head) - kept)


def split(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Leading system messages, then units: a call with all its results is one, any other message its own."""
    count = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    units: list[list[dict[str, Any]]] = []
    for message in messages[count:]:
        follows_call = bool(units) and (units[-1][-1]["role"] == "tool" or "tool_calls" in units[-1][-1])
        if message["role"] == "tool" and follows_call:
            units[-1].append(message)
        else:
            units.append([message])
    return messages[:count], units


Units = list[list[dict[str, Any]]]


def _tails(units: Units) -> list[Units]:
    """What may be kept, from everything to the least.

    A history begins with a user's message, since templates expect that. Inside the newest turn, which may be a long
    chain of calls, the user's message stays and the oldest calls go.
    """
    users = [i for i, unit in enumerate(units) if unit[0]["role"] == "user"]
    if not units or not users:
        return [units[start:] for start in range(max(1, len(units)))]
    last = users[-1]
    starts = sorted({0, *users})
    shorter = [[units[last], *units[start:]] for start in range(last + 2, len(units))]
    return [units[start:] for start in starts] + shorter


def _guess(chat: Chat, tails: list[Units], limit: int) -> int:
    """The first of the tails that is worth rendering: a history many times the window is not rendered whole.

    Counts the newest texts alone. Templates leave out some text (earlier reasoning), hence the wide margin.
    """
    units = tails[0]
    if sum(len(text_of(message)) for unit in units for message in unit) * MOST_BYTES <= MARGIN * limit:
        return 0
    total = 0
    for index in range(len(units) - 1, -1, -1):
        total += sum(len(chat.encode(text_of(message))) for message in units[index])
        if total > MARGIN * limit:
            left = len(units) - index - 1
            return next((i for i, tail in enumerate(tails) if len(tail) <= left), len(tails) - 1)
    return 0


def _too_long(
    chat: Chat, head: list[dict[str, Any]], units: list[list[dict[str, Any]]], length: int, limit: int
) -> TooLong:
    newest = len(chat.encode("".join(text_of(m) for m in units[-1]))) if units else 0
    system = len(chat.encode("".join(text_of(m) for m in head)))
    what = "The newest message is" if newest >= system else "The system prompt is"
    return TooLong(
        f"{what} too long: the prompt needs at least {length} tokens, and the limit is {limit} tokens. Shorten it.",
        limit=limit,
        length=length,
    )
