"""Errors in OpenAI's shape: status, body and headers for each of Parley's own."""

from __future__ import annotations

from typing import Any

from parley.errors import BadRequest, NotFound, RequestError, TooLarge, TooManyRequests, Unauthorized

Failure = tuple[int, dict[str, Any], dict[str, str]]
"""Status, JSON body, further headers."""

NO_RETRY = {"x-should-retry": "false"}
"""The `openai` client sends 5xx again by itself; where that would ask the model a second time, this stops it."""


def failure(
    status: int, message: str, kind: str, param: str | None = None, code: str | None = None, **headers: str
) -> Failure:
    """An error answer."""
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, headers


def show(error: RequestError) -> Failure:
    """What a caller gets for an error."""
    message, invalid = str(error), "invalid_request_error"
    match error:
        case Unauthorized():
            return failure(401, message, "authentication_error", code="invalid_api_key")
        case TooManyRequests():
            status, body, headers = failure(429, message, "rate_limit_error", code="rate_limit_exceeded")
            return status, body, {**headers, "Retry-After": str(error.retry_after)}
        case TooLarge():
            return failure(413, message, invalid, code="request_too_large")
        case NotFound():
            return failure(404, message, invalid, error.param, error.code or "not_found")
        case BadRequest():
            return failure(400, message, invalid, error.param, error.code)
    return failure(400, message, invalid)
