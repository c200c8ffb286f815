"""The async endpoint and its bucket in memory, behind the methods of boto3's clients that Parley calls.

Results go straight into a queue, as SNS would bring them: AWS's JSON, raw. A function stands for the model.
"""

from __future__ import annotations

import io
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from scripts.local.endpoint_jobs import Job
from scripts.local.endpoint_notifications import notification
from scripts.local.endpoint_requests import DEFAULT_TIMEOUT_SECONDS, InferenceRequest
from scripts.local.stand_in.sqs import Sqs

Model = Callable[[dict[str, Any]], dict[str, Any]]
"""A Chat Completions request to its response."""


class Bucket:
    """What Parley uses of boto3's S3 client."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """What lies in it, by `BUCKET/KEY`."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:
        """As boto3's."""
        self.objects[f"{Bucket}/{Key}"] = Body
        return {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """As boto3's. Raises ClientError where S3 answers NoSuchKey."""
        if f"{Bucket}/{Key}" not in self.objects:
            answer = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "GetObject")
        return {"Body": io.BytesIO(self.objects[f"{Bucket}/{Key}"])}

    def list_objects_v2(self, *, Bucket: str, Prefix: str, MaxKeys: int = 1000) -> dict[str, Any]:
        """As boto3's."""
        found = sorted(name for name in self.objects if name.startswith(f"{Bucket}/{Prefix}"))
        return {"Contents": [{"Key": name.removeprefix(f"{Bucket}/")} for name in found[:MaxKeys]]}


class Endpoint:
    """What Parley uses of the clients `sagemaker-runtime` and `sagemaker`: `workers` requests at once."""

    def __init__(self, model: Model, bucket: Bucket, sqs: Sqs, replies: str, workers: int = 8) -> None:
        self._model = model
        self._bucket = bucket
        self._sqs = sqs
        self._replies = replies
        self._jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        """As boto3's."""
        self._jobs.put(request)
        return {"InferenceId": request["InferenceId"]}

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        """As boto3's: one instance, always."""
        return {"EndpointStatus": "InService", "ProductionVariants": [{"CurrentInstanceCount": 1}]}

    def stop(self) -> None:
        """End the workers."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (request := self._jobs.get()) is not None:
            self._sqs.send_message(QueueUrl=self._replies, MessageBody=self._run(request))

    def _run(self, request: dict[str, Any]) -> str:
        """Ask the model; comes back with the notification."""
        payload = request.get("Body") or self._input(request["InputLocation"])
        job = job_of(request)
        try:
            content = json.dumps(self._model(json.loads(payload)), ensure_ascii=False).encode()
        except Exception:
            reason = "ClientError: Received server error (500) from model."
            return notification(job, "us-east-1", "Failed", failure_reason=reason)
        return notification(job, "us-east-1", "Completed", content=content, content_type="application/json")

    def _input(self, location: str) -> bytes:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        content: bytes = self._bucket.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content


def job_of(request: dict[str, Any]) -> Job:
    """The call as notifications name it."""
    inference = InferenceRequest(
        endpoint=request["EndpointName"],
        inference_id=request["InferenceId"],
        body=request.get("Body"),
        input_location=request.get("InputLocation"),
        content_type=request["ContentType"],
        accept=request["Accept"],
        custom_attributes=request["CustomAttributes"],
        ttl_seconds=request["RequestTTLSeconds"],
        timeout_seconds=DEFAULT_TIMEOUT_SECONDS,
        output_extension=request["S3OutputPathExtension"],
        filename=None,
    )
    return Job(id=0, received=time.time(), attempts=1, request=inference)


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """A model that says again what was said last: costs nothing, and shows whether answers go to their questions."""
    text = request["messages"][-1]["content"]
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": len(request["messages"]), "completion_tokens": 1}}
