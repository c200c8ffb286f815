"""An emulator of one SageMaker asynchronous endpoint, reached only through AWS's API.

Serves InvokeEndpointAsync (sagemaker-runtime) and DescribeEndpoint (sagemaker) over HTTP in front of a
model container. Knows nothing of Parley.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3

from scripts.local.endpoint_cloud import EndpointCloud
from scripts.local.endpoint_jobs import JobQueue
from scripts.local.endpoint_requests import ValidationError, read_inference_request
from scripts.local.endpoint_worker import EndpointWorker
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind
from scripts.local.lambda_context import ACCOUNT
from scripts.local.model_container import InstanceMonitor, ModelContainer
from scripts.local.process import end_requested, report_ready
from scripts.local.request_ledger import LEDGER_PATH, RequestLedger, read_wire_request

BODY_LIMIT = 8 * 1024 * 1024  # above the 128,000 bytes of the API, so that it is the API that refuses
CONCURRENCY = 8


class AsyncEndpoint:
    """The HTTP side: validates and accepts requests, describes the endpoint, counts both."""

    def __init__(self, name: str, region: str, jobs: JobQueue, monitor: InstanceMonitor, cloud: EndpointCloud) -> None:
        self._name = name
        self._region = region
        self._jobs = jobs
        self._monitor = monitor
        self._cloud = cloud
        self._ledger = RequestLedger()
        self._created = time.time()

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return AWS's answer to one HTTP request."""
        path, _, query = request.target.partition("?")
        if path == LEDGER_PATH:
            return _json(200, self._ledger.report(reset=request.method == "POST"))
        started = time.perf_counter()
        response = self._route(request, path)
        headers = {name.lower(): value for name, value in request.headers}
        wire = read_wire_request(request.method, path, query, headers, b"")
        self._ledger.add(wire, response.status, time.perf_counter() - started)
        return response

    def _route(self, request: HttpRequest, path: str) -> HttpResponse:
        parts = path.split("/")
        if request.method == "POST" and len(parts) == 4 and parts[1] == "endpoints":
            if parts[3] == "async-invocations":
                return self._invoke(request, unquote(parts[2]))
            if parts[3] == "invocations":
                return aws_error(
                    400, "ValidationError", f"Endpoint {parts[2]} is asynchronous: use InvokeEndpointAsync."
                )
        if request.method == "POST" and request.header("X-Amz-Target") == "SageMaker.DescribeEndpoint":
            return self._describe(request)
        return aws_error(
            400, "UnknownOperationException", f"This emulator does not serve {request.method} {path[:100]}."
        )

    def _invoke(self, request: HttpRequest, endpoint: str) -> HttpResponse:
        try:
            inference = read_inference_request(endpoint, request.header, request.body)
            if endpoint != self._name:
                raise ValidationError(f"Endpoint {endpoint} of account {ACCOUNT} not found.")
        except ValidationError as error:
            return aws_error(400, "ValidationError", str(error))
        self._jobs.put(inference)
        locations = [
            ("X-Amzn-SageMaker-OutputLocation", self._cloud.output_location(inference.output_name)),
            ("X-Amzn-SageMaker-FailureLocation", self._cloud.failure_location(inference.failure_name)),
        ]
        return _json(202, json.dumps({"InferenceId": inference.inference_id}).encode(), locations)

    def _describe(self, request: HttpRequest) -> HttpResponse:
        try:
            name = json.loads(request.body)["EndpointName"]
        except (ValueError, KeyError, TypeError):
            return aws_error(400, "ValidationException", "EndpointName is required.")
        if name != self._name:
            return aws_error(400, "ValidationException", f'Could not find endpoint "{name}".')
        count = self._monitor.instances
        arn = f"arn:aws:sagemaker:{self._region}:{ACCOUNT}:endpoint"
        description: dict[str, Any] = {
            "EndpointName": name,
            "EndpointArn": f"{arn}/{name}",
            "EndpointConfigName": name,
            "EndpointStatus": "InService",
            "CreationTime": self._created,
            "LastModifiedTime": self._created,
            "ProductionVariants": [
                {"VariantName": "main", "CurrentInstanceCount": count, "DesiredInstanceCount": count or 1}
            ],
        }
        return _json(200, json.dumps(description).encode())


def aws_error(status: int, code: str, message: str) -> HttpResponse:
    """Return an error as AWS's JSON services send it, and as botocore reads it."""
    body = json.dumps({"__type": code, "Message": message, "message": message}).encode()
    return _json(status, body, [("x-amzn-ErrorType", code)])


def _json(status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json"), *(headers or [])], body)


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    parser = argparse.ArgumentParser(description="Serve an emulated SageMaker asynchronous endpoint on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--endpoint", default="parley", help="the endpoint's name")
    parser.add_argument("--bucket", required=True, help="bucket of results: model/out/ and model/fail/")
    parser.add_argument("--success-topic", required=True, help="ARN")
    parser.add_argument("--error-topic", required=True, help="ARN")
    parser.add_argument("--model-port", type=int, required=True, help="port of the model server on 127.0.0.1")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="MaxConcurrentInvocationsPerInstance")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps accepted requests")
    parser.add_argument("--ready-fd", type=int, help="file descriptor that gets one JSON line once requests are taken")
    arguments = parser.parse_args()
    ended = end_requested()
    session = boto3.Session()
    cloud = EndpointCloud(session, arguments.bucket, arguments.success_topic, arguments.error_topic)
    container = ModelContainer("127.0.0.1", arguments.model_port)
    monitor = InstanceMonitor(container.ping)
    jobs = JobQueue(arguments.data / "endpoint.sqlite")
    endpoint = AsyncEndpoint(arguments.endpoint, session.region_name, jobs, monitor, cloud)
    worker = EndpointWorker(jobs, container, monitor, cloud, session.region_name, arguments.concurrency)

    def refuse(status: int, message: str) -> HttpResponse:
        return aws_error(status, "ValidationError" if status < 500 else "InternalFailure", message)

    server = HttpServer(bind(arguments.port), endpoint.handle, refuse, BODY_LIMIT)
    server.start()
    worker.start()
    report_ready(arguments.ready_fd, {"port": server.server_port})
    ended.wait()
    server.stop(1.0)
    worker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
