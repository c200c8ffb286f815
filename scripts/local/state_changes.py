"""Which stored things an answered AWS request may have changed.

Reads requests (DynamoDB JSON, S3 paths, SQS and SNS operations) and tells DurableState; queues report
their own messages. Not kept: SSM, SNS topics, unfinished multipart uploads, object versions, PartiQL writes.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from scripts.local import moto_tables
from scripts.local.durable_state import DurableState, table_of
from scripts.local.moto_queues import QueueSemantics
from scripts.local.request_ledger import WireRequest

_ITEM_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}
_TABLE_CHANGES = {"CreateTable", "UpdateTimeToLive", "DeleteTable"} | _ITEM_WRITES
_OBJECT_WRITES = {"PutObject", "CopyObject", "DeleteObject", "CompleteMultipartUpload"}


class StateChanges:
    """Turns each successful request into reports to the durable state, and restores what is created anew."""

    def __init__(self, state: DurableState, queues: QueueSemantics) -> None:
        self._state = state
        self._queues = queues
        self._restored: set[tuple[str, ...]] = set()

    def record(self, request: WireRequest, method: str, path: str, body: bytes) -> None:
        """Report what a request answered with 2xx changed. ``path`` is WSGI's PATH_INFO."""
        if request.service == "dynamodb":
            self._dynamodb(request, body)
        elif request.service == "s3":
            self._s3(request.operation, path.encode("latin-1").decode("utf-8", "replace"), body)
        elif request.service == "sqs":
            self._sqs(request, body)

    def _dynamodb(self, request: WireRequest, body: bytes) -> None:
        if request.operation not in _TABLE_CHANGES:
            return
        arguments = json.loads(body or b"{}")
        name, region = arguments.get("TableName", ""), request.region
        if request.operation == "CreateTable":
            self._state.restore_table(region, name)
        elif request.operation == "UpdateTimeToLive":
            self._state.drop_expired(region, name)
        elif request.operation == "DeleteTable":
            self._state.forget_table(region, name)
        for table_name, key in _written_keys(request, arguments):
            self._state.item_written(region, table_name, key)

    def _s3(self, operation: str, path: str, body: bytes) -> None:
        bucket, _, key = path.lstrip("/").partition("/")
        if operation == "CreateBucket":
            if self._is_new("bucket", bucket):
                self._state.restore_bucket(bucket)
        elif operation in _OBJECT_WRITES:
            self._state.object_written(bucket, key)
        elif operation == "DeleteObjects":
            for element in ElementTree.fromstring(body).iter():
                if element.tag.rpartition("}")[2] == "Key" and element.text:
                    self._state.object_written(bucket, element.text)

    def _sqs(self, request: WireRequest, body: bytes) -> None:
        if request.operation == "CreateQueue":
            name = _json_or_form(body)["QueueName"]
            if self._is_new("queue", request.region, name):
                self._state.restore_queue(request.region, name, self._queues)
        elif request.operation == "DeleteQueue":
            name = _json_or_form(body)["QueueUrl"].rpartition("/")[2]
            self._restored.discard(("queue", request.region, name))
            self._state.forget_queue(request.region, name)

    def _is_new(self, *resource: str) -> bool:
        """Creating what exists succeeds for queues and buckets: restoring again would double its content."""
        new = resource not in self._restored
        self._restored.add(resource)
        return new


def _json_or_form(body: bytes) -> dict[str, Any]:
    if body[:1] == b"{":
        parsed: dict[str, Any] = json.loads(body)
        return parsed
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


def _written_keys(request: WireRequest, arguments: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if request.operation in {"PutItem", "UpdateItem", "DeleteItem"}:
        operation = request.operation.removesuffix("Item")
        entries = [{operation: arguments}]
    elif request.operation == "TransactWriteItems":
        entries = arguments["TransactItems"]
    elif request.operation == "BatchWriteItem":
        entries = [
            {kind.removesuffix("Request"): {"TableName": table_name, **fields}}
            for table_name, requests in arguments["RequestItems"].items()
            for entry in requests
            for kind, fields in entry.items()
        ]
    else:
        return []
    backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][request.region]
    return [found for found in moto_tables.touched(backend, entries) if table_of(request.region, found[0]) is not None]
