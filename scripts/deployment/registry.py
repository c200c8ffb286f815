"""Which version of a model a registry has in use: `registry:PLACE/NAME`, where scripts/models has promoted it.

The registry's layout is in inference/training/README.md. Standard library only until S3 is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.deployment.failures import BadModel

SCHEME = "registry:"


def model_in_use(address: str, client: Callable[[], Any]) -> str:
    """The folder or s3:// address of the version in use; `client` makes boto3's S3 client. Raises BadModel."""
    place = address.removeprefix(SCHEME).rstrip("/")
    try:
        version = json.loads(_read(place, client))["version"]
    except (OSError, ValueError, LookupError):
        raise BadModel(f"{place} has no model in use; promote one with scripts/models promote") from None
    model = f"{place}/versions/{version}/model"
    return f"{model}/" if place.startswith("s3://") else str(Path(model).expanduser().absolute())


def _read(place: str, client: Callable[[], Any]) -> bytes:
    if not place.startswith("s3://"):
        return (Path(place).expanduser() / "in_use.json").read_bytes()
    bucket, _, key = f"{place}/in_use.json".removeprefix("s3://").partition("/")
    s3 = client()
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        raise LookupError(key) from None
    return content
