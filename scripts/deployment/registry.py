"""Which version of a model a registry has in use: `registry:PLACE/NAME`, where scripts/models has promoted it.

The registry's layout is in inference/training/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from scripts.deployment.account import identify
from scripts.deployment.failures import BadModel, BadStack
from scripts.deployment.stack import Stack
from scripts.deployment.weights import send_folder

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


def check_stage(session: boto3.Session, stage: str, say: Callable[[str], None]) -> None:
    """Everything that can be known to be wrong before `take`. Raises BadAccount or BadStack."""
    identify(session)
    stack = Stack(session, f"parley-{stage}", say)
    stack.check()
    if stack.describe() is None:
        raise BadStack(f"there is no stack {stack.name}; make it with scripts/deploy")


def take(session: boto3.Session, stage: str, address: str, say: Callable[[str], None]) -> str:
    """The address that the endpoint of a stage has its model from now, the one in use; nothing else is changed.

    Raises BadModel or another DeploymentFailed.
    """
    stack = Stack(session, f"parley-{stage}", say)
    model = model_in_use(address, lambda: session.client("s3"))
    if not model.startswith("s3://") and (bucket := stack.outputs().get("BucketName")):
        model = send_folder(session, bucket, Path(model), say)
    plan = stack.plan(None, {"ModelUri": model, "ModelId": ""})
    if plan.id:
        stack.execute(plan)
    return model


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
