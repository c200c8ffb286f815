"""A Chat Completions request, validated: from parsed JSON to one typed object, or an error that names the field.

Unknown top-level fields are tolerated, as OpenAI's own servers do. Knows nothing of tokens, templates or the engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from errors import InvalidRequest
from messages import read_messages
from pictures import PictureSource

MOST_CHOICES = 16
MOST_STOPS = 16
GREEDY_BELOW = 1e-4
"""Dividing logits by less than this leaves only the largest anyway, and smaller ones overflow."""


@dataclass(frozen=True)
class ChatRequest:
    """What was asked. None stands for a field that was not given, where the model's own default then applies."""

    messages: list[dict[str, Any]]
    model: str | None = None
    max_tokens: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] = field(default_factory=lambda: {"type": "text"})
    template_options: dict[str, Any] = field(default_factory=dict)
    caller: str = ""

    @property
    def pictures(self) -> list[PictureSource]:
        """The pictures in the messages, in order."""
        lists = [message["content"] for message in self.messages if isinstance(message["content"], list)]
        return [part["source"] for parts in lists for part in parts if part["type"] == "image"]


def parse(raw: bytes) -> ChatRequest:
    """The request in `raw` (UTF-8 JSON). Raises InvalidRequest with the field's name in `param`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    fields = _Fields(body)
    tools = read_tools(fields)
    return ChatRequest(
        messages=read_messages(body.get("messages")),
        model=fields.text("model"),
        max_tokens=fields.first_whole("max_completion_tokens", "max_tokens"),
        n=fields.whole("n", 1, MOST_CHOICES) or 1,
        stream=fields.flag("stream", False),
        include_usage=_include_usage(fields),
        stop=_stops(fields),
        temperature=_temperature(fields),
        top_p=fields.number("top_p", 0, 1),
        top_k=_top_k(fields),
        min_p=fields.number("min_p", 0, 1),
        seed=fields.whole("seed", -(2**63), 2**64),
        presence_penalty=fields.number("presence_penalty", -2, 2) or 0.0,
        frequency_penalty=fields.number("frequency_penalty", -2, 2) or 0.0,
        logit_bias=_logit_bias(fields),
        top_logprobs=_top_logprobs(fields),
        tools=tools,
        tool_choice=_tool_choice(fields, tools),
        parallel_tool_calls=fields.flag("parallel_tool_calls", True),
        response_format=_response_format(fields),
        template_options=fields.mapping("chat_template_kwargs"),
        caller=fields.text("user") or fields.text("safety_identifier") or "",
    )


class _Fields:
    """Typed reads of a JSON object; null counts as not given."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def get(self, name: str) -> Any:
        return self.body.get(name)

    def wrong(self, name: str, needs: str) -> InvalidRequest:
        shown = json.dumps(self.body.get(name), ensure_ascii=False, default=str)[:80]
        return InvalidRequest(f"'{name}' must be {needs}, got {shown}.", param=name, code="invalid_value")

    def text(self, name: str) -> str | None:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def first_whole(self, *names: str) -> int | None:
        values = [self.whole(name, 1, 2**31) for name in names]
        return next((v for v in values if v is not None), None)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(name, f"a number from {least} to {most}")
        return float(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return value


def _temperature(fields: _Fields) -> float | None:
    value = fields.number("temperature", 0, 2)
    return 0.0 if value is not None and value < GREEDY_BELOW else value


def _top_k(fields: _Fields) -> int | None:
    value = fields.whole("top_k", -1, 2**31)
    return 0 if value == -1 else value  # -1 says "no filter" in other servers


def _include_usage(fields: _Fields) -> bool:
    options = _Fields(fields.mapping("stream_options"))
    if options.body and not fields.get("stream"):
        raise InvalidRequest("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    return options.flag("include_usage", False)


def _stops(fields: _Fields) -> tuple[str, ...]:
    value = fields.get("stop")
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(s, str) and s for s in stops):
        raise fields.wrong("stop", f"a non-empty string or a list of at most {MOST_STOPS} such strings")
    return tuple(stops)


def _logit_bias(fields: _Fields) -> dict[int, float]:
    needs = "an object of token ids (as strings) to numbers from -100 to 100"
    found: dict[int, float] = {}
    for key, value in fields.mapping("logit_bias").items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (key.isascii() and key.isdigit() and len(key) < 10 and number and -100 <= value <= 100):
            raise fields.wrong("logit_bias", needs)
        found[int(key)] = float(value)
    return found


def _top_logprobs(fields: _Fields) -> int | None:
    wanted = fields.flag("logprobs", False)
    count = fields.whole("top_logprobs", 0, 20)
    if count is not None and not wanted:
        raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    return (count or 0) if wanted else None


def read_tools(fields: _Fields) -> list[dict[str, Any]]:
    """The functions offered, each with a name; parameters, where given, are a JSON Schema object."""
    tools = fields.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise fields.wrong("tools", "a list")
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            where = f"tools[{index}]"
            raise InvalidRequest(f"'{where}' must be a function with a name.", param=where, code="invalid_value")
        if not isinstance(function.get("parameters", {}), dict):
            where = f"tools[{index}].function.parameters"
            raise InvalidRequest(f"'{where}' must be a JSON Schema object.", param=where, code="invalid_value")
    return tools


def _tool_choice(fields: _Fields, tools: list[dict[str, Any]]) -> str | dict[str, Any]:
    choice = fields.get("tool_choice")
    if choice is None:
        return "auto" if tools else "none"
    if choice in ("none", "auto", "required"):
        if choice == "required" and not tools:
            raise InvalidRequest("'tool_choice' is 'required' but there are no 'tools'.", param="tool_choice")
        return str(choice)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name is None or name not in [tool["function"]["name"] for tool in tools]:
        raise fields.wrong("tool_choice", "'none', 'auto', 'required' or one of the functions in 'tools'")
    return {"type": "function", "function": {"name": name}}


def _response_format(fields: _Fields) -> dict[str, Any]:
    value = fields.mapping("response_format") or {"type": "text"}
    kind = value.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise fields.wrong("response_format", "of type 'text', 'json_object' or 'json_schema'")
    if kind == "json_schema":
        inner = value.get("json_schema")
        if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict | bool):
            raise fields.wrong("response_format", "of type 'json_schema' with json_schema.schema")
    return value
