"""The deployed functions over moto in this process, driven one event at a time, every AWS call of theirs recorded.

Which function makes a call is known because only one runs at a time; what a call touches is read from its parameters.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest

from chalicelib import records, wiring
from parley.aws import clients
from scripts.local.event_pump import EventSource, deliver_batch, scheduled_event
from scripts.local.gateway import Gateway
from scripts.local.http_server import HttpRequest, HttpResponse
from scripts.local.lambda_context import LambdaContext
from scripts.local.local_settings import write_api_key, write_secrets
from scripts.local.provision import STACK, Deployment, Provisioner

REGION = "eu-west-1"
RESOURCES = Path(__file__).parents[2] / "chalice-app/.chalice/resources.json"
ROOMY = {f"PARLEY_{name}": "100000" for name in ("USER_REQUESTS_PER_MINUTE", "USER_TOKENS_PER_DAY")} | {
    f"PARLEY_{name}_TURNS_AT_ONCE": "1000" for name in ("USER", "CALLER")
}
"""Limits that are held to, and that no test comes near: one user says more in a second than people do."""
API_KEY = "a-key-of-the-tests"


@dataclass(frozen=True)
class Call:
    """One AWS request: by which function, to what, with which parameters."""

    function: str
    service: str
    operation: str
    parameters: Mapping[str, Any] = field(compare=False)


class RecordedSystem:
    """Use inside moto's `mock_aws`. `calls` grows with everything that a function does."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.calls: list[Call] = []
        self.function = ""
        self.late = 0.0
        self._wirings: dict[str, wiring.Wiring] = {}
        self.outside = boto3.Session(region_name=REGION)
        self.app = importlib.import_module("app")
        self.gateway = Gateway(self.app.app, lambda: LambdaContext("api_handler", 29, 512, REGION))

    def record(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        """botocore's hook: a call with these parameters is about to be made."""
        service = model.service_model.service_name
        self.calls.append(Call(self.function, service, model.name, dict(params)))

    def http(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """A request of the API handler's; with the API key unless `headers` are given."""
        given = {"Authorization": f"Bearer {API_KEY}"} if headers is None else dict(headers)
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = HttpRequest(method, path, [("Content-Type", "application/json"), *given.items()], raw, "127.0.0.1")
        with self._as("api_handler"):
            return self.gateway.handle(request)

    def work(self, function: str, queue: str) -> int:
        """Hand what is in a queue to its function, as the event source does; how many records were finished.

        What failed can be received again at once.
        """
        url = self.deployment.resources[queue].ref
        source = EventSource(_Polled(self.outside, url), getattr(self.app, function), lambda: self._context(function))
        records = source.queue.receive(10)
        with self._as(function):
            done = deliver_batch(source, records) if records else []
        for record in records[::-1]:
            if record["MessageId"] not in done:
                self.outside.client("sqs").change_message_visibility(
                    QueueUrl=url, ReceiptHandle=record["ReceiptHandle"], VisibilityTimeout=0
                )
        return len(done)

    def sweep(self) -> None:
        """The schedule's minute."""
        with self._as("sweep"):
            self.app.sweep(scheduled_event(REGION), self._context("sweep"))

    def lose(self, queue: str) -> None:
        """What is in a queue goes away, as if the run that put it there had died before."""
        polled = _Polled(self.outside, self.deployment.resources[queue].ref)
        polled.delete([record["ReceiptHandle"] for record in polled.receive(10)])

    def begin_anew(self) -> None:
        """Every function gets a new process, which has read no secret and no flag yet."""
        self._wirings.clear()

    def guard_is_closed(self) -> bool:
        """Whether think, as its process sees it, would not ask the model."""
        return bool(self._wirings["think"].guard.closed(time.time()))

    def pass_time(self, seconds: float) -> None:
        """The clock that the stages behind the queues read moves on."""
        self.late += seconds

    def asked(self) -> Call:
        """The newest call of the model."""
        return [call for call in self.calls if call.operation == "InvokeEndpointAsync"][-1]

    def answer(self, text: str, *, notify: bool = True, inline: bool = True) -> None:
        """The model is done with its newest call: the result lies in the bucket, and its notification in the queue."""
        bucket = self.deployment.resources["Bucket"].ref
        asked = self.asked().parameters
        completion = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        place = f"model/out/{asked['S3OutputPathExtension']}/result.out"
        content = json.dumps(completion).encode()
        self.outside.client("s3").put_object(Bucket=bucket, Key=place, Body=content)
        notification = {
            "invocationStatus": "Completed", "inferenceId": asked["InferenceId"],
            "requestParameters": {"customAttributes": asked["CustomAttributes"]},
            "responseParameters": {"outputLocation": f"s3://{bucket}/{place}"},
        }  # fmt: skip
        if inline:
            notification["responseBody"] = {"content": base64.b64encode(content).decode(), "encoding": "BASE64"}
        if notify:
            replies = self.deployment.resources["Replies"].ref
            self.outside.client("sqs").send_message(QueueUrl=replies, MessageBody=json.dumps(notification))

    def fail(self, reason: str) -> None:
        """The model gives its newest call up, and SageMaker says so."""
        asked = self.asked().parameters
        notification = {
            "invocationStatus": "Failed", "inferenceId": asked["InferenceId"], "failureReason": reason,
            "requestParameters": {"customAttributes": asked["CustomAttributes"]},
        }  # fmt: skip
        replies = self.deployment.resources["Replies"].ref
        self.outside.client("sqs").send_message(QueueUrl=replies, MessageBody=json.dumps(notification))

    @contextmanager
    def _as(self, function: str) -> Iterator[None]:
        self.function = function
        wiring.use(self._wirings.setdefault(function, wiring.Wiring()))  # a process for each function
        try:
            yield
        finally:
            self.function = ""

    def _context(self, function: str) -> LambdaContext:
        return LambdaContext(function, 60, 512, REGION)


class _Polled:
    """A queue as the event source sees it, without waiting."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self._client = session.client("sqs")
        self._url = url
        self.arn: str = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.region = REGION

    def receive(self, count: int) -> list[dict[str, Any]]:
        found = self._client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=count, MessageSystemAttributeNames=["All"]
        )
        messages: list[dict[str, Any]] = found.get("Messages", [])
        return messages

    def delete(self, receipt_handles: list[str]) -> None:
        for handle in receipt_handles:
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)


@contextmanager
def recorded_system(patch: pytest.MonkeyPatch, secrets: Mapping[str, str], **settings: str) -> Iterator[RecordedSystem]:
    """The system, provisioned from the stack's own resources; `secrets` are credentials as scripts/run takes them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": REGION}.items():
        patch.setenv(f"AWS_{name}", value)
    session = boto3.Session(region_name=REGION)
    deployment = Provisioner(session).provision(json.loads(RESOURCES.read_text()))
    write_secrets(session, deployment.environment["PARLEY_SECRETS_PATH"], "k" * 64, secrets)
    write_api_key(session, deployment.environment["PARLEY_TABLE"], API_KEY)
    _make_endpoint(session.client("sagemaker"))
    for name, value in {**deployment.environment, **ROOMY, **settings}.items():
        patch.setenv(name, value)
    system = RecordedSystem(deployment)
    patch.setattr(records, "time", SimpleNamespace(time=lambda: time.time() + system.late))
    hooked = botocore.session.get_session()
    hooked.register("provide-client-params.*.*", system.record)
    clients._make.cache_clear()
    patch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(botocore_session=hooked, region_name=REGION))
    try:
        yield system
    finally:
        clients._make.cache_clear()
        wiring.use(wiring.Wiring())


def _make_endpoint(client: Any) -> None:
    """An endpoint of the stack's name, so that asking whether it is awake finds one."""
    role = "arn:aws:iam::123456789012:role/parley-model"
    client.create_model(ModelName=STACK, ExecutionRoleArn=role, PrimaryContainer={"Image": "i", "Mode": "SingleModel"})
    variant = {"VariantName": "main", "ModelName": STACK, "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=STACK, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=STACK, EndpointConfigName=STACK)
