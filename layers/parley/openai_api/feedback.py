"""`/v1/responses/{id}/feedback`: its request and answer. OpenAI has no such route; the page's takes the same body."""

from __future__ import annotations

from typing import Any

from parley.domain.message import RATINGS
from parley.errors import BadRequest
from parley.openai_api import fields

READ = {"rating"}
"""Fields that are read."""


def parse(body: bytes) -> str | None:
    """The rating in a body, one of RATINGS; None takes an earlier one back. Raises BadRequest, or TooLarge."""
    given = fields.read_object(body)
    fields.refuse_others(given, READ)
    rating: str | None = given.get("rating")
    if "rating" not in given or rating not in (None, *RATINGS):
        raise BadRequest('\'rating\' must be "up", "down" or null.', param="rating", code="invalid_value")
    return rating


def show(id: str, rating: str | None) -> dict[str, Any]:
    """What is kept now of the response."""
    return {"id": id, "object": "response.feedback", "rating": rating}
