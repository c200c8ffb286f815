"""`/v1/responses`: its request, and the Response object. Shapes as the `openai` client 3.x reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parley.domain.limits import refused_for
from parley.domain.message import MAX_TEXT_CHARACTERS, Said
from parley.domain.progress import Progress, Stage
from parley.domain.request import Request
from parley.errors import BadRequest
from parley.openai_api import fields
from parley.openai_api.said import role, split

DEFAULT_MODEL = "default"
"""The bot that a request without `model` means: the one that a fresh installation has."""

CONVERSATION = re.compile(r"[A-Za-z0-9_-]{1,64}")

READ = {
    "model", "input", "instructions", "metadata", "background", "previous_response_id", "conversation",
    "temperature", "top_p", "max_output_tokens",
}  # fmt: skip
"""Fields that are read."""

WITHOUT_EFFECT = {
    "user", "safety_identifier", "service_tier", "store", "truncation", "prompt_cache_key", "include",
    "parallel_tool_calls", "tool_choice", "max_tool_calls", "prompt_cache_retention",
}  # fmt: skip
"""Fields that are taken, and change nothing."""

UNSERVED: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "stream_options": (),
    "tools": ([],),
    "text": ({}, {"format": {"type": "text"}}),
    "reasoning": ({},),
    "prompt": (),
    "top_logprobs": (0,),
}
"""Fields that ask for what is not served, with the values that ask for nothing."""

_STATUS = {
    Stage.QUEUED: "queued",
    Stage.THINKING: "in_progress",
    Stage.ANSWERED: "completed",
    Stage.FAILED: "failed",
    Stage.CANCELLED: "cancelled",
}


def parse(body: bytes) -> Request:
    """The request in a body. Raises BadRequest with `param`, or TooLarge."""
    given = fields.read_object(body)
    fields.refuse_unserved(given, UNSERVED)
    fields.refuse_others(given, READ | WITHOUT_EFFECT | set(UNSERVED))
    preface, text = split(_input(given.get("input")), "input")
    previous, conversation = given.get("previous_response_id"), _conversation(given)
    if previous is not None and not isinstance(previous, str):
        raise BadRequest("'previous_response_id' must be a string.", param="previous_response_id")
    if previous is not None and conversation is not None:
        raise BadRequest("Give 'previous_response_id' or 'conversation', not both.", param="previous_response_id")
    instructions = fields.text(given, "instructions", MAX_TEXT_CHARACTERS)
    sampling = fields.present(
        temperature=fields.number(given, "temperature", 0, 2),
        top_p=fields.number(given, "top_p", 0, 1),
        max_tokens=fields.whole(given, "max_output_tokens", 1, 1_000_000),
    )
    background = fields.flag(given, "background")
    model = fields.text(given, "model", 64) or DEFAULT_MODEL
    return Request(
        model=model,
        text=text,
        preface=preface,
        options={**sampling, **fields.present(instructions=instructions)},
        details=fields.present(
            model=model,
            metadata=fields.metadata(given) or None,
            previous=previous,
            conversation=conversation,
            background=background or None,
        ),
        previous=previous,
        conversation=conversation,
        background=background,
    )


def show(
    id: str, created: float, progress: Progress, options: Mapping[str, Any], details: Mapping[str, Any]
) -> dict[str, Any]:
    """The Response object of a message that has come as far as `progress`."""
    cut = progress.stage is Stage.ANSWERED and progress.turn is not None and progress.turn.finish == "length"
    conversation = details.get("conversation")
    return {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": "incomplete" if cut else _STATUS[progress.stage],
        "background": bool(details.get("background")),
        "model": details.get("model", DEFAULT_MODEL),
        "output": _output(id, progress, cut),
        "error": _error(progress),
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": options.get("instructions"),
        "metadata": details.get("metadata", {}),
        "previous_response_id": details.get("previous"),
        "conversation": {"id": conversation} if conversation else None,
        "temperature": options.get("temperature"),
        "top_p": options.get("top_p"),
        "max_output_tokens": options.get("max_tokens"),
        "usage": _usage(progress),
        "text": {"format": {"type": "text"}},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "truncation": "auto",
        "store": True,
    }


def show_deleted(id: str) -> dict[str, Any]:
    """The answer to DELETE."""
    return {"id": id, "object": "response", "deleted": True}


def _input(value: Any) -> list[Said]:
    if isinstance(value, str):
        return [Said("user", fields.clean(value))]
    if not isinstance(value, list):
        raise BadRequest("'input' must be a string or a list of messages.", param="input", code="invalid_type")
    return [_item(item, f"input[{index}]") for index, item in enumerate(value)]


def _item(item: Any, param: str) -> Said:
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        raise BadRequest(f"'{param}' must be a message.", param=param, code="unsupported_content")
    text = fields.content(item.get("content"), f"{param}.content", ("input_text", "output_text", "text"))
    return Said(role(item.get("role"), f"{param}.role"), text)


def _conversation(given: Mapping[str, Any]) -> str | None:
    value = given.get("conversation")
    name = value.get("id") if isinstance(value, dict) else value
    if name is None and value is None:
        return None
    if not isinstance(name, str) or not CONVERSATION.fullmatch(name):
        message = "'conversation' must be an id of 1 to 64 letters, digits, '-' and '_'."
        raise BadRequest(message, param="conversation", code="invalid_value")
    return name


def _output(id: str, progress: Progress, cut: bool) -> list[dict[str, Any]]:
    if progress.answer is None or progress.stage is not Stage.ANSWERED:
        return []
    part = {"type": "output_text", "text": progress.answer.text, "annotations": []}
    status = "incomplete" if cut else "completed"
    message_id = f"msg_{id.removeprefix('resp_')}"
    return [{"type": "message", "id": message_id, "role": "assistant", "status": status, "content": [part]}]


def _error(progress: Progress) -> dict[str, str] | None:
    if progress.stage is not Stage.FAILED:
        return None
    over = progress.turn is not None and refused_for(progress.turn.error) is not None
    code = "rate_limit_exceeded" if over else "server_error"
    return {"code": code, "message": (progress.turn and progress.turn.notice) or "The model failed."}


def _usage(progress: Progress) -> dict[str, Any] | None:
    if progress.turn is None or not progress.turn.usage:
        return None
    read, written = (progress.turn.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens"))
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
