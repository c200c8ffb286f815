"""The whole answer of a request that is not streamed. Knows no HTTP."""

from __future__ import annotations

from typing import Any

import answers
from completion import Completion, Piece
from engine.sequence import Finish


async def whole_answer(completion: Completion) -> dict[str, Any]:
    """A `chat.completion` object, when every choice has ended. Raises EngineFault if one failed."""
    choices = {piece.index: _choice(completion, piece) async for piece in completion.pieces()}
    answer = answers.Answer(completion.prepared.model, completion.prepared.dropped)
    return answer.whole([choices[index] for index in sorted(choices)], completion.usage())


def _choice(completion: Completion, piece: Piece) -> dict[str, Any]:
    """A choice from its one piece: text, or calls of tools, or both."""
    asked = completion.prepared.request
    found = answers.logprobs(completion.loaded.chat, piece.tokens) if asked.top_logprobs is not None else None
    text = piece.text
    calls: list[dict[str, Any]] = []
    if (reader := completion.call_reader()) is not None:
        said = reader.push(text)
        rest, calls = reader.finish()
        text = said + rest
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        calls = calls if asked.parallel_tool_calls else calls[:1]
        message = {**message, "content": text.strip() or None, "tool_calls": calls}
    reason = answers.finish_reason(piece.finish or Finish.STOP, bool(calls))
    return answers.choice(piece.index, message, reason, found)
