"""`/v1/chat/completions` and `/v1/models`: their requests and answers, as the `openai` client reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley.domain.message import Said
from parley.domain.progress import Progress
from parley.domain.request import Request
from parley.errors import BadRequest
from parley.openai_api import fields
from parley.openai_api.said import role, split

READ = {
    "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed",
    "presence_penalty", "frequency_penalty", "metadata",
}  # fmt: skip
"""Fields that are read."""

WITHOUT_EFFECT = {"user", "safety_identifier", "store", "service_tier", "parallel_tool_calls", "prompt_cache_key"}
"""Fields that are taken, and change nothing."""

UNSERVED: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "stream_options": (),
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
"""Fields that ask for what is not served, with the values that ask for nothing."""

_SEED = 2**63


def parse(body: bytes) -> Request:
    """The request in a body. Raises BadRequest with `param`, or TooLarge."""
    given = fields.read_object(body)
    fields.refuse_unserved(given, UNSERVED)
    fields.refuse_others(given, READ | WITHOUT_EFFECT | set(UNSERVED))
    model = fields.text(given, "model", 64, required=True)
    preface, text = split(_messages(given.get("messages")), "messages")
    older, longest = (fields.whole(given, name, 1, 1_000_000) for name in ("max_tokens", "max_completion_tokens"))
    options = fields.present(
        temperature=fields.number(given, "temperature", 0, 2),
        top_p=fields.number(given, "top_p", 0, 1),
        max_tokens=longest or older,
        stop=fields.stops(given),
        seed=fields.whole(given, "seed", -_SEED, _SEED - 1),
        presence_penalty=fields.number(given, "presence_penalty", -2, 2),
        frequency_penalty=fields.number(given, "frequency_penalty", -2, 2),
    )
    details = fields.present(metadata=fields.metadata(given) or None)
    return Request(model=model or "", text=text, preface=preface, options=options, details=details)


def show(id: str, model: str, created: float, progress: Progress) -> dict[str, Any]:
    """The ChatCompletion object of an answered message."""
    turn, answer = progress.turn, progress.answer
    usage = turn.usage if turn is not None else {}
    read, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    message = {"role": "assistant", "content": answer.text if answer is not None else "", "refusal": None}
    finish = (turn.finish if turn is not None else None) or "stop"
    return {
        "id": id,
        "object": "chat.completion",
        "created": int(created),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def show_model(bot: str) -> dict[str, Any]:
    """A bot as a Model object: it is what callers name in `model`."""
    return {"id": bot, "object": "model", "created": 0, "owned_by": "parley"}


def show_models(bots: Sequence[str]) -> dict[str, Any]:
    """The list of bots."""
    return {"object": "list", "data": [show_model(bot) for bot in bots]}


def _messages(value: Any) -> list[Said]:
    if not isinstance(value, list):
        raise BadRequest("'messages' must be a list of messages.", param="messages", code="invalid_type")
    return [_message(entry, f"messages[{index}]") for index, entry in enumerate(value)]


def _message(entry: Any, param: str) -> Said:
    if not isinstance(entry, dict):
        raise BadRequest(f"'{param}' must be an object.", param=param, code="invalid_type")
    text = fields.content(entry.get("content"), f"{param}.content", ("text",))
    return Said(role(entry.get("role"), f"{param}.role"), text)
