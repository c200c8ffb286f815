"""Reading the fields of a JSON body, each with an error that names it. Knows no endpoint."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from parley.errors import BadRequest, TooLarge

MAX_BODY_BYTES = 262_144
"""Largest request body. What it holds has to fit one table item (400 KB) and one queue record (1 MiB)."""

LEAST_STORED = 1e-130
"""The number nearest to nothing that DynamoDB stores."""

QUOTED = 80
"""How many characters of a request an error quotes."""

METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises TooLarge or BadRequest."""
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"The body has {len(body):,} bytes: at most {MAX_BODY_BYTES:,} are taken.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return value


def refuse_others(body: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises BadRequest for the first field that is not known."""
    for name in body:
        if name not in known:
            raise BadRequest(f"Unknown parameter: {quoted(name)}.", param=name[:QUOTED], code="unknown_parameter")


def refuse_unserved(body: Mapping[str, Any], unserved: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises BadRequest for a field that asks for what is not served; each has values that ask for nothing."""
    for name, harmless in unserved.items():
        value = body.get(name)
        # Of the same type: Python takes true for 1.
        if value is not None and not any(type(value) is type(nothing) and value == nothing for nothing in harmless):
            message = f"'{name}' is not supported by this deployment; leave it out."
            raise BadRequest(message, param=name, code="unsupported_parameter")


def text(body: Mapping[str, Any], name: str, longest: int, required: bool = False) -> str | None:
    """A text field, None when absent."""
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise _wrong(name, "a string")
    if len(value) > longest:
        raise BadRequest(f"'{name}' has {len(value):,} characters: at most {longest:,} are taken.", param=name)
    return clean(value)


def number(body: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    """A number within bounds, None when absent."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(name, f"a number from {least:g} to {most:g}")
    return value if abs(value) >= LEAST_STORED else 0


def whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """A whole number within bounds, None when absent."""
    value = body.get(name)
    if value is None:
        return None
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # 1.0 is 1 in JSON
    if isinstance(value, bool) or not is_whole or not least <= value <= most:
        raise _wrong(name, f"a whole number from {least} to {most}")
    return int(value)


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A boolean field, False when absent."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return bool(value)


def metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """The `metadata` field: up to 16 pairs of short texts."""
    value = body.get("metadata")
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > METADATA_PAIRS:
        raise _wrong("metadata", f"an object of at most {METADATA_PAIRS} members")
    for key, entry in value.items():
        # Without a name it would be taken here and refused by DynamoDB, once it was acknowledged.
        if not clean(key) or len(key) > METADATA_KEY or not isinstance(entry, str) or len(entry) > METADATA_VALUE:
            message = f"keys of 1 to {METADATA_KEY} characters with strings of at most {METADATA_VALUE}"
            raise _wrong("metadata", message)
    return {clean(key): clean(entry) for key, entry in value.items()}


def stops(body: Mapping[str, Any]) -> list[str] | None:
    """The `stop` field: one text or up to four."""
    value = body.get("stop")
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        return None
    if not isinstance(listed, list) or len(listed) > 4:
        raise _wrong("stop", "a string or a list of at most four")
    if not all(isinstance(entry, str) and clean(entry) for entry in listed):
        raise _wrong("stop", "made of strings that are not empty")
    return [clean(entry) for entry in listed]


def present(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def clean(value: str) -> str:
    """The text without what no store or queue can hold: lone surrogates and NUL."""
    return value.encode(errors="replace").decode().replace("\x00", "")


def quoted(value: Any) -> str:
    """A value as an error quotes it: a text's first characters, or what it is. No answer carries its request back."""
    match value:
        case str():
            return repr(value if len(value) <= QUOTED else f"{value[:QUOTED]}…")
        case list():
            return "a list"
        case dict():
            return "an object"
    return json.dumps(value)[:QUOTED]


def content(value: Any, param: str, kinds: Collection[str]) -> str:
    """The text of a message's content: a string, or a list of parts of the given text kinds."""
    if isinstance(value, str):
        return clean(value)
    if not isinstance(value, list):
        raise _wrong(param, "a string or a list of parts")
    return "\n".join(_part(part, f"{param}[{index}]", kinds) for index, part in enumerate(value))


def _part(part: Any, param: str, kinds: Collection[str]) -> str:
    if not isinstance(part, dict):
        raise _wrong(param, "an object")
    if part.get("type") not in kinds:
        message = f"'{param}' is of type {quoted(part.get('type'))}: this deployment takes text parts only."
        raise BadRequest(message, param=f"{param}.type", code="unsupported_content")
    if not isinstance(part.get("text"), str):
        raise _wrong(f"{param}.text", "a string")
    return clean(part["text"])


def _wrong(param: str, expected: str) -> BadRequest:
    return BadRequest(f"'{param}' must be {expected}.", param=param, code="invalid_type")
