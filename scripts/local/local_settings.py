"""Secrets and the API key of a local deployment, from environment variables and the data folder.

Writes them where the deployed code reads them: SSM parameters and one item of the table.
Knows the names of parameters and fields, not what they are for.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

BOT = "default"
CHANNELS = ("slack", "telegram")
FIELDS = ("signing_secret", "bot_token", "api_url", "secret_token")
DEFAULT_API_KEY = "local-dev-key"


def channel_credentials(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return {channel: {field: value}} from variables ``{CHANNEL}_{FIELD}``; empty ones count as unset."""
    found: dict[str, dict[str, str]] = {}
    for channel in CHANNELS:
        for field in FIELDS:
            value = environment.get(f"{channel}_{field}".upper(), "")
            if value:
                found.setdefault(channel, {})[field] = value
    return found


def write_secrets(
    session: boto3.Session, secrets_path: str, signing_key: str, environment: Mapping[str, str]
) -> list[str]:
    """Write the SSM parameters under ``secrets_path``; returns the channels that have credentials."""
    client = session.client("ssm")
    channels = channel_credentials(environment)
    parameters: dict[str, Any] = {f"{secrets_path}/bots/{BOT}/{name}": fields for name, fields in channels.items()}
    parameters[f"{secrets_path}/signing-key"] = {"key": signing_key}
    for name, value in parameters.items():
        client.put_parameter(Name=name, Value=json.dumps(value), Type="SecureString", Overwrite=True)
    return sorted(channels)


def keep_signing_key(data: Path) -> str:
    """Return the installation's signing key (64 hex digits), made at the first call in a file of mode 600."""
    path = data / "signing-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_text().strip()
        if key:
            return key
        descriptor = os.open(path, os.O_WRONLY)
    key = secrets.token_hex(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    return key


def write_api_key(session: boto3.Session, table: str, key: str) -> None:
    """Put the item that lets ``key`` in as caller "local"; only the key's SHA-256 is stored.

    It is the item that ``scripts/keys`` makes, written without the application: the supervisor runs any.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()
    created = str(int(time.time()))
    session.client("dynamodb").put_item(
        TableName=table,
        Item={
            "pk": {"S": f"KEY#{digest}"},
            "sk": {"S": "KEY"},
            "caller": {"S": "local"},
            "name": {"S": "scripts/run"},
            "created": {"N": created},
            "user": {"S": "KEYS"},
            "updated": {"N": created},
        },
    )
