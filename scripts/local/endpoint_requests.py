"""InvokeEndpointAsync requests, read from HTTP and validated as AWS does.

Constraints are those of botocore 1.44.5's service model of sagemaker-runtime and of AWS's documentation.
Knows nothing of queues, models or S3.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

MAX_BODY_BYTES = 128_000
DEFAULT_TTL_SECONDS = 21_600
DEFAULT_TIMEOUT_SECONDS = 900

_PREFIX = "X-Amzn-SageMaker-"
_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_LOCATION = re.compile(r"(https|s3)://([^/]+)/?(.*)")
_INFERENCE_ID = re.compile(r"[!-~][ -~]*")
_EXTENSION = re.compile(r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+")
_FILENAME = re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9\-_.]*")
_HEADER = re.compile(r"[ -~]*")


class ValidationError(ValueError):
    """AWS's 400 of the same name; the message is AWS's wording where it is known."""


@dataclass(frozen=True)
class InferenceRequest:
    """One accepted InvokeEndpointAsync. Exactly one of ``body`` and ``input_location`` is set."""

    endpoint: str
    inference_id: str
    body: bytes | None
    input_location: str | None
    content_type: str | None
    accept: str | None
    custom_attributes: str | None
    ttl_seconds: int
    timeout_seconds: int
    output_extension: str | None
    filename: str | None

    @property
    def output_name(self) -> str:
        """The result object's name below the output path, derived from the inference id unless given."""
        return self._below(self.filename or f"{self._safe_id}.out")

    @property
    def failure_name(self) -> str:
        """The failure object's name below the failure path."""
        return self._below(self.filename or f"{self._safe_id}-error.out")

    @property
    def _safe_id(self) -> str:
        if re.fullmatch(r"[A-Za-z0-9._-]+", self.inference_id):
            return self.inference_id
        # an id may hold any printable character; a key derived from it should not
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.inference_id))

    def _below(self, name: str) -> str:
        extension = (self.output_extension or "").strip("/")
        return f"{extension}/{name}" if extension else name


def read_inference_request(endpoint: str, header: Callable[[str], str | None], body: bytes) -> InferenceRequest:
    """Return the request that the headers and body of an InvokeEndpointAsync call make.

    ``header`` looks one header up by name, any case. Raises ValidationError with AWS's message.
    """

    def text(name: str, member: str, limit: int, pattern: re.Pattern[str] = _HEADER) -> str | None:
        value = header(_PREFIX + name)
        if value is not None:
            _check_text(value, member, limit, pattern)
        return value

    _check_text(endpoint, "endpointName", 63, _ENDPOINT_NAME)
    location = text("InputLocation", "inputLocation", 1024, _LOCATION)
    _check_source(location, body)
    return InferenceRequest(
        endpoint=endpoint,
        inference_id=text("Inference-Id", "inferenceId", 64, _INFERENCE_ID) or str(uuid.uuid4()),
        body=body if location is None else None,
        input_location=location,
        content_type=text("Content-Type", "contentType", 1024),
        accept=text("Accept", "accept", 1024),
        custom_attributes=text("Custom-Attributes", "customAttributes", 1024),
        ttl_seconds=_number(
            header(_PREFIX + "RequestTTLSeconds"), "requestTTLSeconds", 60, 21_600, DEFAULT_TTL_SECONDS
        ),
        timeout_seconds=_number(
            header(_PREFIX + "InvocationTimeoutSeconds"),
            "invocationTimeoutSeconds",
            1,
            3600,
            DEFAULT_TIMEOUT_SECONDS,
        ),
        output_extension=text("S3OutputPathExtension", "s3OutputPathExtension", 512, _EXTENSION),
        filename=text("Filename", "filename", 32, _FILENAME),
    )


def _check_source(location: str | None, body: bytes) -> None:
    if location is not None and body:
        raise ValidationError("Exactly one of Body and InputLocation must be given: the request has both.")
    if location is None and not body:
        raise ValidationError("Exactly one of Body and InputLocation must be given: the request has neither.")
    if len(body) > MAX_BODY_BYTES:
        raise ValidationError(
            f"Body is {len(body)} bytes long; at most {MAX_BODY_BYTES} may be sent inline. Use InputLocation for more."
        )


def _check_text(value: str, member: str, limit: int, pattern: re.Pattern[str]) -> None:
    if not value and pattern is not _HEADER:
        raise _violation(value, member, "Member must have length greater than or equal to 1")
    if len(value) > limit:
        raise _violation(value, member, f"Member must have length less than or equal to {limit}")
    if not pattern.fullmatch(value):
        raise _violation(value, member, f"Member must satisfy regular expression pattern: {pattern.pattern}")


def _number(value: str | None, member: str, least: int, most: int, default: int) -> int:
    if value is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise _violation(value, member, "Member must be an integer")
    number = int(value)
    if number < least:
        raise _violation(value, member, f"Member must have value greater than or equal to {least}")
    if number > most:
        raise _violation(value, member, f"Member must have value less than or equal to {most}")
    return number


def _violation(value: str, member: str, constraint: str) -> ValidationError:
    return ValidationError(
        f"1 validation error detected: Value '{value[:100]}' at '{member}' failed to satisfy constraint: {constraint}"
    )
