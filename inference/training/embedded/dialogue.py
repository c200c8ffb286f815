"""A dialogue with what is expected of the assistant in it: training and evaluation items are made of these."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

TOOLS: dict[str, tuple[str, ...]] = {
    "find_order": ("order_id",),
    "book_appointment": ("name", "date", "time"),
    "list_slots": ("date",),
    "hand_over": ("reason",),
}
Message = dict[str, Any]


@dataclass
class Expectation:
    """What is right to answer after `at` messages of the dialogue."""

    at: int
    category: str
    values: tuple[str, ...] = ()
    """Texts that a right answer contains."""

    call: Message | None = None
    """The one right call: `{"name", "arguments"}`."""


@dataclass
class Dialogue:
    """Messages in OpenAI's shape, the tools that are offered, and what is expected of the assistant where."""

    language: str
    messages: list[Message] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    expected: list[Expectation] = field(default_factory=list)

    def say(self, role: str, text: str) -> None:
        """Adds a message."""
        self.messages.append({"role": role, "content": text})

    def answer(self, text: str, category: str, *values: str) -> None:
        """Adds the assistant's answer and what is expected of it: these values, or the text itself if none is named."""
        self.expected.append(Expectation(len(self.messages), category, values or (text,)))
        self.say("assistant", text)

    def call(self, name: str, arguments: dict[str, str]) -> None:
        """Adds the assistant's call of a tool."""
        call = {"name": name, "arguments": arguments}
        self.expected.append(Expectation(len(self.messages), f"tool.{name}", call=call))
        function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        self.messages.append(
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            }
        )


def tool_definition(name: str) -> Message:
    """The tool as OpenAI's API takes it."""
    properties = {parameter: {"type": "string"} for parameter in TOOLS[name]}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}
