"""Messages as token ids for tokenizers with this project's chat template, with the mask that says what is learned.

The tokens are exactly those that the template gives; a test compares them. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from training.embedded.tokenizer import END


@dataclass(frozen=True)
class Encoded:
    """Tokens; `learned[i]` is 1 where `ids[i]` is to be predicted. `turns[n]` are the bounds of the answer that is
    message n, its end token included."""

    ids: list[int]
    learned: list[int]
    turns: dict[int, tuple[int, int]]


def text_of(message: Mapping[str, Any]) -> str:
    """A message as the chat template writes it, without its role and end."""
    text = str(message["content"] or "").strip()
    for call in message.get("tool_calls") or ():
        function = call["function"]
        text += f'<tool_call>\n{{"name": "{function["name"]}", "arguments": {function["arguments"]}}}\n</tool_call>'
    return text


def tools_text(tools: Iterable[Mapping[str, Any]]) -> str:
    """The tools as the chat template lists them."""
    functions = [tool["function"] for tool in tools]
    return "\n".join(
        f"{function['name']}({', '.join((function.get('parameters') or {}).get('properties') or {})})"
        for function in functions
    )


def encode(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], core: Tokenizer) -> Encoded:
    """The conversation's tokens; learned is what the assistant writes and the token that ends it."""
    roles = [str(message["role"]) for message in messages]
    texts = [f"<|{role}|>{text_of(message)}{END}" for role, message in zip(roles, messages, strict=True)]
    head = core.encode(f"<|tools|>{tools_text(tools)}{END}", add_special_tokens=False).ids if tools else []
    ids: list[int] = list(head)
    learned = [0] * len(head)
    turns: dict[int, tuple[int, int]] = {}
    for at, encoded in enumerate(core.encode_batch(texts, add_special_tokens=False)):
        own = roles[at] == "assistant"
        if own:
            turns[at] = (len(ids) + 1, len(ids) + len(encoded.ids))
        ids += encoded.ids
        learned += [0] + [int(own)] * (len(encoded.ids) - 1)
    return Encoded(ids, learned, turns)
