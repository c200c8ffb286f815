"""A deployment in every state that an upgrade can meet: real adapters for table, queue records and model calls.

The table is moto's, in this process; queues and bucket are the stand-ins; the clock stands still until it is moved, so
that the same release writes the same bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from parley.aws.budget import StackGuard
from parley.aws.callers import key_item
from parley.aws.table import Table
from parley.backends.sagemaker_async import SagemakerAsync
from parley.domain.limits import Limits, Policy
from parley.domain.message import conversation_key
from scripts.local.stand_in.endpoint import Bucket
from tests.stages.world import PATIENCE, QUEUES, VISIBILITY, World

AMPLE = Limits(requests_per_minute=100, tokens_per_day=1_000_000, turns_at_once=20)
API_KEY = "a-key-of-the-goldens"


class Endpoint:
    """Keeps the model's calls until somebody ends them."""

    def __init__(self) -> None:
        self.calls: list[Mapping[str, Any]] = []

    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        """As boto3's."""
        self.calls.append(request)
        return {"InferenceId": request["InferenceId"]}


class Deployment(World):
    """A world with the adapters of a deployment; `client` and `table` are those of an empty DynamoDB table."""

    def __init__(self, client: Any, table: str) -> None:
        policy = Policy(AMPLE, AMPLE)
        super().__init__(policy)
        self.client, self.name = client, table
        self.bucket = Bucket()
        self.endpoint = Endpoint()
        self.later: list[str] = []
        """Notifications of calls that end after the upgrade."""
        clients = {"s3": self.bucket, "sagemaker-runtime": self.endpoint, "dynamodb": client}
        real: Any = Table(client, table, lambda: self.now, policy)
        self.table = self.allowances = real
        self.model: Any = SagemakerAsync(clients.__getitem__, "parley", "bucket", lambda: self.now, 600)
        self._ended: set[str] = set()

    def keep_accounts(self) -> None:
        """An API key, a month's seconds, a wake-up: what is in the table beside conversations."""
        self.client.put_item(TableName=self.name, Item=key_item(API_KEY, "caller", "the goldens", self.now))
        guard = StackGuard(
            lambda service: self.client, None, lambda: self.now, endpoint="parley", table=self.name,  # type: ignore[arg-type]
            secrets_path="/parley", most=1, topic="", limited=False,
        )  # fmt: skip
        guard.add("1970-01", 60.0)
        guard.woke(70.0, self.now)

    def end_call_of(self, conversation: str, text: str | None = None, *, to: str = "replies", reason: str = "") -> None:
        """End the conversation's call, with a `reason` as a failure; without a text it says again what was asked.

        The notification goes to `replies`, or comes `later`, or never: then the result lies in the `bucket` alone.
        """
        self._end(next(call for call in self._open() if _conversation(call) == conversation), text, to, reason)

    def _open(self) -> list[Mapping[str, Any]]:
        return [call for call in self.endpoint.calls if call["InferenceId"] not in self._ended]

    def _end(self, call: Mapping[str, Any], text: str | None, to: str, reason: str) -> None:
        self._ended.add(call["InferenceId"])
        content = json.dumps(_completion(call, text)).encode()
        place = f"model/out/{call['S3OutputPathExtension']}/result.out"
        if not reason:
            self.bucket.put_object(Bucket="bucket", Key=place, Body=content)
        if to == "bucket":
            return
        body = _notification(call, content, f"s3://bucket/{place}", reason)
        if to == "later":
            self.later.append(body)
        else:
            self.sqs.send_message(QueueUrl="replies", MessageBody=body)

    def work(self) -> None:
        """Whatever can be handled now is, calls of the model excepted."""
        while sum(self.pump(queue, 10) for queue in QUEUES):
            pass

    def finish(self) -> None:
        """Everything comes to its end: what comes later comes, calls are answered, time passes, the sweep sweeps."""
        for body in self.later:
            self.sqs.send_message(QueueUrl="replies", MessageBody=body)
        for _ in range(20):
            self._run_dry()
            if not self.table.overdue(1e12, 1):
                return
            self.pass_time(PATIENCE.answer)
            self.sweep()
        raise AssertionError(f"{self.table.overdue(1e12, 10)} stay open")

    def _run_dry(self) -> None:
        while True:
            self.work()
            if calls := self._open():
                self._end(calls[0], None, "replies", "")
            elif any(self.sqs.size(queue) for queue in QUEUES):
                self.pass_time(VISIBILITY + 1)
            else:
                return

    # -- out of it, and into it

    def dump(self) -> dict[str, Any]:
        """Everything that it holds: items, queue records, objects and what comes later. Its queues are empty then."""
        pages = self.client.get_paginator("scan").paginate(TableName=self.name)
        held = [item for page in pages for item in page["Items"]]
        queues = {queue: [record["Body"] for record in self.take_all(queue)] for queue in (*QUEUES, "inbox-dead.fifo")}
        return {
            "table": sorted(held, key=lambda item: (item["pk"]["S"], item["sk"]["S"])),
            "queues": queues | {"later": self.later},
            "bucket": {name: content.decode() for name, content in self.bucket.objects.items()},
            "now": self.now,
        }

    def fill(self, dump: Mapping[str, Any]) -> None:
        """What `dump` gave, of whatever release."""
        self.now = dump["now"]
        for item in dump["table"]:
            self.client.put_item(TableName=self.name, Item=item)
        for queue, bodies in dump["queues"].items():
            if queue == "later":
                self.later = list(bodies)
                continue
            for number, body in enumerate(bodies):
                group = conversation_key(str(json.loads(body).get("conversation")))
                self.sqs.send_message(
                    QueueUrl=queue, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=str(number)
                )
        for name, text in dump["bucket"].items():
            self.bucket.put_object(Bucket="bucket", Key=name.removeprefix("bucket/"), Body=text.encode())


def _conversation(call: Mapping[str, Any]) -> str:
    return str(json.loads(call["CustomAttributes"])["c"])


def _completion(call: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    """The model's answer: the text, or the last message again."""
    said = text or f"to: {json.loads(call['Body'])['messages'][-1]['content']}"
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "compute_ms": 20}
    return {"object": "chat.completion", "choices": [choice], "usage": usage, "parley": {"dropped_messages": 0}}


def _notification(call: Mapping[str, Any], content: bytes, place: str, reason: str) -> str:
    """What SageMaker publishes; its times are always the same ones."""
    message: dict[str, Any] = {
        "awsRegion": "us-east-1", "eventTime": "2026-11-25T10:00:02.000Z", "receivedTime": "2026-11-25T10:00:00.000Z",
        "invocationStatus": "Failed" if reason else "Completed", "inferenceId": call["InferenceId"],
        "requestParameters": {
            "accept": call["Accept"], "contentType": call["ContentType"], "endpointName": call["EndpointName"],
            "customAttributes": call["CustomAttributes"],
        },
        "eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "InferenceResult",
    }  # fmt: skip
    if reason:
        return json.dumps(message | {"failureReason": reason})
    encoded = {"content": base64.b64encode(content).decode(), "encoding": "BASE64"}
    return json.dumps(message | {"responseParameters": {"outputLocation": place}, "responseBody": encoded})
