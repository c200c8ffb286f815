"""The `messages` of a request, checked and brought into the form that chat templates expect.

Content becomes one string, or with pictures a list of parts; `developer` becomes `system`, a call's arguments become
an object. Knows no tokens.
"""

from __future__ import annotations

import json
from typing import Any

from errors import InvalidRequest
from pictures import PictureSource

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
MOST_MESSAGES = 10_000
WITH_PICTURES = ("user", "tool")
DETAILS = ("auto", "low", "high")


def text_of(message: dict[str, Any]) -> str:
    """The text of a message that was read here, without its pictures."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def read_messages(value: Any) -> list[dict[str, Any]]:
    """Messages for a template. A picture is `{"type": "image", "source": PictureSource}` there.

    Raises InvalidRequest naming the message and the field.
    """
    if not isinstance(value, list) or not value:
        raise InvalidRequest("'messages' must be a list with at least one message.", param="messages")
    if len(value) > MOST_MESSAGES:
        raise InvalidRequest(f"'messages' holds more than {MOST_MESSAGES} messages.", param="messages")
    return [_read(message, f"messages[{index}]") for index, message in enumerate(value)]


def _read(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise InvalidRequest(f"'{where}' must be an object.", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise InvalidRequest(f"'{where}.role' must be one of {known}.", param=f"{where}.role", code="invalid_value")
    calls = _tool_calls(message.get("tool_calls"), f"{where}.tool_calls") if role == "assistant" else []
    content = _content(message.get("content"), f"{where}.content", role)
    read: dict[str, Any] = {"role": ROLES[role], "content": content}
    if calls:
        read["tool_calls"] = calls
    if role == "tool":
        read["tool_call_id"] = _text(message.get("tool_call_id"), f"{where}.tool_call_id")
    if message.get("name") is not None:
        read["name"] = _text(message["name"], f"{where}.name")
    if role == "assistant" and isinstance(message.get("reasoning_content"), str):
        read["reasoning_content"] = message["reasoning_content"]
    return read


def _content(value: Any, where: str, role: str) -> str | list[dict[str, Any]]:
    """One string from a string, a list of text parts, or nothing where nothing may stand; a list if it has images."""
    if value is None and role == "assistant":
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidRequest(f"'{where}' must be a string or a list of parts.", param=where)
    parts = [_part(part, f"{where}[{index}]", role) for index, part in enumerate(value)]
    if any(part["type"] == "image" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def _part(part: Any, where: str, role: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return {"type": "text", "text": str(part[kind])}
    if kind == "image_url" and role in WITH_PICTURES:
        return {"type": "image", "source": _picture(part.get("image_url"), where)}
    if kind in ("image_url", "input_audio", "file", "video_url"):
        raise InvalidRequest(
            f"'{where}' is of type '{kind}', which is not read in a message of the role '{role}'.",
            param=where,
            code="unsupported_content",
        )
    raise InvalidRequest(f"'{where}' must be a part of type 'text' with its text.", param=where)


def _picture(value: Any, where: str) -> PictureSource:
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url:
        raise InvalidRequest(f"'{where}.image_url' must be an object with a url.", param=where, code="invalid_value")
    detail = value.get("detail") or "auto"
    if detail not in DETAILS:
        known = ", ".join(DETAILS)
        message = f"'{where}.image_url.detail' must be one of {known}."
        raise InvalidRequest(message, param=f"{where}.image_url.detail", code="invalid_value")
    return PictureSource(url.strip(), where, detail)


def _tool_calls(value: Any, where: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"'{where}' must be a list.", param=where)
    return [_tool_call(call, f"{where}[{index}]") for index, call in enumerate(value)]


def _tool_call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidRequest(f"'{where}' must have a function with a name.", param=where)
    text = _text(function.get("arguments", "{}"), f"{where}.function.arguments")
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = text  # a model's own slip, shown back to it as it was
    return {
        "type": "function",
        "id": _text(call.get("id", ""), f"{where}.id"),
        "function": {"name": function["name"], "arguments": arguments},
    }


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"'{where}' must be a string.", param=where)
    return value
