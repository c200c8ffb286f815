"""Every error that a caller can meet, in OpenAI's shape. Knows nothing of HTTP servers or of the engine's inside.

ServiceError
├── InvalidRequest     400  the request is wrong; `param` names the field
│   └── TooLong        400  a message, or what must be kept, exceeds the context window
├── ModelNotFound      404  a name that no model or adapter has
├── NoEmbeddings       404  /v1/embeddings, and no model for it is set
├── BodyTooLarge       413  more bytes than the server reads
├── Overloaded         503  the queue is full, or the model is not ready; come back after `retry_after` seconds
└── EngineFault        500  computing this one request failed
"""

from __future__ import annotations

import traceback
from typing import Any


class ServiceError(Exception):
    """One failed request. `body()` is what the caller reads, `status` the HTTP status that goes with it."""

    status = 500
    type = "server_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients parse it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to this error; none by default."""
        return {}


class InvalidRequest(ServiceError):
    """The caller sent something that cannot be served; the same request will fail again."""

    status = 400
    type = "invalid_request_error"


class TooLong(InvalidRequest):
    """What has to be in the prompt is longer than the window; carries both numbers, in tokens."""

    def __init__(self, message: str, *, limit: int, length: int, param: str = "messages") -> None:
        super().__init__(message, param=param, code="context_length_exceeded")
        self.limit = limit
        self.length = length


class ModelNotFound(ServiceError):
    """The request names a model that is not served; the message lists those that are."""

    status = 404
    type = "invalid_request_error"

    def __init__(self, model: str, known: list[str]) -> None:
        names = ", ".join(known)
        super().__init__(
            f"There is no model '{model[:100]}' here; there is {names}.", param="model", code="model_not_found"
        )


class NoEmbeddings(ServiceError):
    """No embedding model is set."""

    status = 404
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "This server has no embedding model: start it with --embedding-model DIR (or PARLEY_EMBEDDING_MODEL).",
            code="no_embedding_model",
        )


class BodyTooLarge(InvalidRequest):
    """The body has more bytes than the server is set to read."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request body is larger than {limit} bytes. Send fewer or shorter messages.",
            code="request_too_large",
        )


class Overloaded(ServiceError):
    """The server cannot take the request now; `retry_after` is in seconds."""

    status = 503
    type = "overloaded_error"

    def __init__(self, message: str, *, retry_after: int, code: str) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """`Retry-After`, which the openai client honours."""
        return {"Retry-After": str(self.retry_after)}


class EngineFault(ServiceError):
    """The model failed on this request; others are not touched."""

    def __init__(self, message: str, *, code: str = "engine_fault") -> None:
        super().__init__(message, code=code)


def origin(error: BaseException) -> str:
    """What failed and where, for a log: without the error's message, which may quote what somebody wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
