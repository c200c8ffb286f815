"""What reading a webhook takes on any platform: comparing secrets, and JSON that may hold anything.

Knows no platform. Nothing here raises on what strangers send, but BadRequest.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from parley.channels.characters import well_formed
from parley.errors import BadRequest


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing; an expected secret that is blank equals nothing."""
    # As bytes: compare_digest refuses text beyond ASCII, which a stranger may send.
    equal = hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
    return equal and expected.strip() != ""


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a body. Raises BadRequest when there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: a thousand nested brackets
        raise BadRequest("the body is not JSON; webhooks of this channel are JSON objects") from None
    if not isinstance(document, dict):
        raise BadRequest(f"the body is a JSON {type(document).__name__}, not an object")
    return document


def text_at(document: Mapping[str, Any], name: str) -> str:
    """A field that holds text, in sound Unicode; empty when it is missing or holds anything else."""
    value = document.get(name)
    return well_formed(value) if isinstance(value, str) else ""


def object_at(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field that holds an object; empty when it is missing or holds anything else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}
