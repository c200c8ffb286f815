"""What the async endpoint does in S3 and SNS, tried again for as long as the failure is a passing one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

Result = TypeVar("Result")

_CONFIG = Config(user_agent_extra="parley-endpoint", max_pool_connections=32)
_WAITS = (0.1, 0.3, 1.0, 3.0, 5.0)
_PASSING_CODES = {"Throttling", "ThrottlingException", "SlowDown", "RequestTimeout", "RequestLimitExceeded"}


class Stopping(Exception):
    """The process ends before a retry could succeed; the job stays in the queue."""


class EndpointCloud:
    """S3 objects and SNS topics of one endpoint. Thread-safe."""

    def __init__(self, session: boto3.Session, bucket: str, success_topic: str, error_topic: str) -> None:
        self._s3 = session.client("s3", config=_CONFIG)
        self._sns = session.client("sns", config=_CONFIG)
        self._bucket = bucket
        self._topics = {True: success_topic, False: error_topic}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Give up all retries: they raise Stopping."""
        self._stopping.set()

    def read_input(self, location: str) -> bytes:
        """Return the object at an s3:// or https:// address. Raises ClientError when it cannot be had."""
        bucket, key = split_location(location)
        body: bytes = self._lasting(lambda: self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return body

    def output_location(self, name: str) -> str:
        """Return where the result called ``name`` goes."""
        return f"s3://{self._bucket}/model/out/{name}"

    def failure_location(self, name: str) -> str:
        """Return where the failure called ``name`` goes."""
        return f"s3://{self._bucket}/model/fail/{name}"

    def write(self, location: str, body: bytes, content_type: str | None) -> None:
        """Write a result or failure object. Raises ClientError when S3 refuses for good."""
        bucket, key = split_location(location)
        kind = content_type or "application/octet-stream"
        self._lasting(lambda: self._s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind))

    def publish(self, message: str, success: bool) -> None:
        """Publish to the success or the error topic. Raises ClientError when SNS refuses for good."""
        self._lasting(lambda: self._sns.publish(TopicArn=self._topics[success], Message=message))

    def _lasting(self, call: Callable[[], Result]) -> Result:
        attempt = 0
        while not self._stopping.is_set():
            try:
                return call()
            except ClientError as error:
                if not _passes(error):
                    raise
            except BotoCoreError as error:
                print(f"async endpoint: {error}; trying again", flush=True)
            self._stopping.wait(_WAITS[min(attempt, len(_WAITS) - 1)])
            attempt += 1
        raise Stopping


def split_location(location: str) -> tuple[str, str]:
    """Return (bucket, key) of an s3:// address or of an https:// address of S3 (either style)."""
    parts = urlsplit(location)
    if parts.scheme == "s3":
        return parts.netloc, location.split("/", 3)[3] if location.count("/") > 2 else ""
    path = unquote(parts.path.lstrip("/"))
    bucket, found, _ = parts.netloc.partition(".s3")
    if found:
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _passes(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= 500 or error.response.get("Error", {}).get("Code") in _PASSING_CODES
