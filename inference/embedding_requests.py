"""An Embeddings request, validated, and its answer in OpenAI's shape. Knows no HTTP and no model's inside."""

from __future__ import annotations

import base64
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

from embeddings import Embedder, Vectors
from errors import InvalidRequest, TooLong

MOST_INPUTS = 2048
"""As OpenAI's own limit."""


@dataclass(frozen=True)
class Wanted:
    """How vectors are to be given: `size` numbers each, as floats or in base64."""

    size: int
    base64: bool


def parse(raw: bytes, embedder: Embedder) -> tuple[Wanted, list[list[int]]]:
    """What is wanted, and each input's token ids. Raises InvalidRequest naming the field."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _wrong("encoding_format", "'float' or 'base64'")
    size = body.get("dimensions")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= embedder.size):
        raise _wrong("dimensions", f"a whole number from 1 to {embedder.size}")
    texts = [_checked(ids, index, embedder) for index, ids in enumerate(_inputs(body.get("input"), embedder))]
    return Wanted(size or embedder.size, encoding == "base64"), texts


def _inputs(value: Any, embedder: Embedder) -> list[list[int]]:
    """Token ids of a string, a list of strings, one list of ids, or a list of lists of ids."""
    items = value if isinstance(value, list) else [value]
    if items and all(_is_id(item) for item in items):
        items = [items]
    if not 1 <= len(items) <= MOST_INPUTS:
        raise _wrong("input", f"one to {MOST_INPUTS} texts")
    if all(isinstance(item, str) and item for item in items):
        return [embedder.encode(item) for item in items]
    if all(isinstance(item, list) and item and all(_is_id(i) for i in item) for item in items):
        return items
    raise _wrong("input", "a string, a list of strings, or lists of token ids, none of them empty")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(ids: list[int], index: int, embedder: Embedder) -> list[int]:
    if len(ids) > embedder.window:
        raise TooLong(
            f"Input {index} has {len(ids)} tokens, and the limit is {embedder.window} tokens. Shorten it.",
            limit=embedder.window,
            length=len(ids),
            param="input",
        )
    if min(ids) < 0 or max(ids) >= embedder.vocabulary:
        raise _wrong("input", f"of token ids below {embedder.vocabulary}")
    return ids


def _wrong(name: str, needs: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' must be {needs}.", param=name, code="invalid_value")


def respond(vectors: Vectors, wanted: Wanted, model: str, tokens: int) -> dict[str, Any]:
    """The answer's body."""
    data = [
        {"object": "embedding", "index": index, "embedding": _shaped(vector, wanted)}
        for index, vector in enumerate(vectors)
    ]
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _shaped(vector: list[float], wanted: Wanted) -> list[float] | str:
    if wanted.size < len(vector):
        # Cut as Matryoshka models are made for, and brought back to length 1.
        cut = vector[: wanted.size]
        length = math.sqrt(sum(number * number for number in cut)) or 1.0
        vector = [number / length for number in cut]
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if wanted.base64 else vector
