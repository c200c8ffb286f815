"""The bucket of a deployment's artefacts: each lies there under the fingerprint of its content, and is sent once."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scripts.deployment.account import Account
from scripts.deployment.archives import fingerprint

Json = dict[str, Any]


def make_bucket(session: boto3.Session, account: Account) -> str:
    """Make the bucket unless it is there: closed to the public, encrypted. Safe to repeat."""
    client = session.client("s3")
    name = account.artefacts
    place = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=name, **({"CreateBucketConfiguration": place} if place else {}))
    closed = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=closed)
    return name


def upload(session: boto3.Session, bucket: str, file: Path, say: Callable[[str], None]) -> str:
    """The key of a file's content in the bucket, which is sent unless it is there."""
    client = session.client("s3")
    key = f"{fingerprint(file)}/{file.name}"
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        say(f"sending {file.name} ({file.stat().st_size:,} bytes)")
        client.upload_file(str(file), bucket, key)
    return key


def upload_all(session: boto3.Session, bucket: str, folder: Path, say: Callable[[str], None]) -> Json:
    """The folder's template with S3 addresses in place of the artefacts beside it, which are sent."""
    return addressed(folder, lambda file: f"s3://{bucket}/{upload(session, bucket, file, say)}")


def addressed(folder: Path, address: Callable[[Path], str]) -> Json:
    """The folder's template with `address` of each artefact beside it in the artefact's place."""
    template: Json = json.loads((folder / "template.json").read_text())
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][name] = address(folder / Path(resource["Properties"][name]).name)
    return template


def translate(template: Json, region: str) -> Json:
    """A SAM template as plain CloudFormation: what runs can be read, and needs no transform in the account."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=region))
    plain: Json = translator.translate(copy.deepcopy(template), parameter_values={}, get_managed_policy_map=dict)
    return plain
