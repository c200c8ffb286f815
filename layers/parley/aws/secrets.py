"""Secrets from SSM Parameter Store, each a JSON object in a SecureString, kept for five minutes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from parley.errors import Misconfigured

KEPT_SECONDS = 300.0
"""How long a changed secret may go unnoticed; it bounds the calls, too."""


class SsmSecrets:
    """`Secrets` below one path. `clock` gives seconds."""

    def __init__(self, client: Any, path: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._path = path
        self._clock = clock
        self._kept: dict[str, tuple[float, Mapping[str, str] | None]] = {}

    def get(self, name: str) -> Mapping[str, str] | None:
        """The fields of one secret. Raises Misconfigured, without the value, when it is no JSON object."""
        until, value = self._kept.get(name, (0.0, None))
        if self._clock() >= until:
            value = self._fetch(name)
            self._kept[name] = (self._clock() + KEPT_SECONDS, value)
        return value

    def _fetch(self, name: str) -> Mapping[str, str] | None:
        try:
            answer = self._client.get_parameter(Name=f"{self._path}/{name}", WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise
            return None
        try:
            fields = json.loads(answer["Parameter"]["Value"])
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise Misconfigured(f'parameter {self._path}/{name} is no JSON object: write {{"field": "value"}} into it')
        return fields


def texts(name: str, fields: Mapping[str, Any]) -> Mapping[str, str]:
    """The fields of the secret of that name. Raises Misconfigured, without the value, for one that is no text."""
    for field, value in fields.items():
        if not is_text(value):
            raise Misconfigured(f"secret {name}: its field {field[:40]!r} is no text; set it again")
    return fields


def is_text(value: Any) -> bool:
    """Whether a value from JSON is a text in sound Unicode; half a surrogate pair is none."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value
