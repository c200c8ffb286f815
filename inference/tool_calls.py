"""Tool calls in a model's text: told apart from what is said, and given OpenAI's shape.

Three ways of writing them are known, chosen by the model's own chat template. Knows text only, no tokens.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from text_stream import overlap


@dataclass(frozen=True)
class Dialect:
    """How a family of models writes calls: the marks around them and the key that the arguments stand under."""

    begin: str
    end: str
    arguments: str = "arguments"


HERMES = Dialect("<tool_call>", "</tool_call>")  # Qwen 2.5 and 3, Hermes, and many that follow them
MISTRAL = Dialect("[TOOL_CALLS]", "")
BARE = Dialect("{", "", "parameters")  # Llama 3: the whole answer is one JSON object


def dialect_of(template: str) -> Dialect:
    """The dialect that a chat template teaches its model."""
    if HERMES.begin in template:
        return HERMES
    if MISTRAL.begin in template:
        return MISTRAL
    return BARE


class CallReader:
    """Splits an answer as it comes: `push` gives what is said, `finish` what is left and the calls.

    Nothing that may be a call is given out as text; what turns out to be none is text after all.
    """

    def __init__(self, dialect: Dialect, names: frozenset[str]) -> None:
        self._dialect = dialect
        self._names = names
        self._held = ""
        self._said_something = False

    def push(self, text: str) -> str:
        """The part of the text so far that cannot belong to a call."""
        self._held += text
        begin = self._dialect.begin
        if self._dialect is BARE:
            # An object counts only as the whole answer: JSON inside a sentence is something said.
            inside = not self._said_something and self._held.lstrip()[:1] in ("", begin)
            keep = len(self._held) if inside else 0
        else:
            at = self._held.find(begin)
            keep = len(self._held) - at if at >= 0 else overlap(self._held, begin)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self._said_something = self._said_something or bool(said.strip())
        return said

    def finish(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the text, and the calls to functions that were offered."""
        held, self._held = self._held, ""
        found, rest = _calls_in(held, self._dialect)
        calls = [call for call in (_call(value, self._names) for value in found) if call is not None]
        return (rest, calls) if calls and len(calls) == len(found) else (held, [])


def _calls_in(text: str, dialect: Dialect) -> tuple[list[Any], str]:
    """Every JSON value that a call's marks hold, and the text between them."""
    if dialect is BARE:
        return _values(text), ""
    parts = text.split(dialect.begin)
    values: list[Any] = []
    between = [parts[0]]
    for part in parts[1:]:
        inside, _, after = part.partition(dialect.end) if dialect.end else (part, "", "")
        values += _values(inside) or [None]
        between.append(after)
    return values, "".join(between).strip()


def _values(text: str) -> list[Any]:
    """The JSON value in a text, a list counting as its entries; empty when it is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else [value]


def _call(value: Any, names: frozenset[str]) -> dict[str, Any] | None:
    """A call in OpenAI's shape; None for what calls nothing that was offered."""
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in names:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": name, "arguments": text},
    }
