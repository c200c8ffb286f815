"""Secrets from SSM Parameter Store, each a JSON object in a SecureString, kept for five minutes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

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
        """The fields of one secret. Raises ValueError, without the value, when it is no JSON object."""
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
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise ValueError(f'parameter {self._path}/{name} is no JSON object: write {{"field": "value"}} into it')
        return fields
