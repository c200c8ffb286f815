"""The endpoint emulator through boto3: what AWS answers, writes to S3 and publishes, and what survives."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.processes import LocalProcess, wait_until


class Container:
    """A model container in this process. What it does with a request is the request's own text."""

    def __init__(self, port: int = 0) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.running = self.most_running = 0
        self.let_go = threading.Event()
        self._lock = threading.Lock()
        container = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(200, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with container._lock:
                    container.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                    container.running += 1
                    container.most_running = max(container.most_running, container.running)
                try:
                    container.behave(self, body)
                finally:
                    with container._lock:
                        container.running -= 1

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def behave(self, handler: Any, body: bytes) -> None:
        """Answer as the body says: fail with a status, send chunks, wait, break off, or echo."""
        if body.startswith(b"status "):
            handler.answer(int(body[7:10]), b'{"error": "said the model"}')
        elif body == b"chunked":
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"2\r\nok\r\n0\r\n\r\n")
        elif body == b"wait":
            self.let_go.wait(20)
            handler.answer(200, b'"waited"')
        elif body == b"break":
            handler.close_connection = True
            handler.connection.close()
        elif body.startswith(b"large "):
            handler.answer(200, b"x" * int(body[6:]))
        else:
            handler.answer(200, body)

    def rest(self) -> None:
        """Let go of what waits and forget what was seen."""
        self.let_go.set()
        wait_until(lambda: self.running == 0)
        self.let_go.clear()
        self.seen, self.most_running = [], 0

    def stop(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


class Endpoint:
    """An endpoint process with a bucket, topics and a queue of its own in the shared cloud."""

    def __init__(self, start: Callable[..., LocalProcess], cloud: LocalProcess, data: Path, model_port: int) -> None:
        self._start, self._cloud, self._data, self._model_port = start, cloud, data, model_port
        self.name = f"bucket-{uuid.uuid4().hex}"
        self.objects = cloud.client("s3")
        self.objects.create_bucket(Bucket=self.name)
        notifier, self._queues = cloud.client("sns"), cloud.client("sqs")
        self._url = self._queues.create_queue(QueueName=self.name)["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:123456789012:{self.name}"
        self._topics = []
        for outcome in ("success", "error"):
            topic = notifier.create_topic(Name=f"{self.name}-{outcome}")["TopicArn"]
            raw = {"RawMessageDelivery": "true"}
            notifier.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
            self._topics.append(topic)
        self.start()

    def start(self) -> None:
        arguments = [
            "--bucket",
            self.name,
            "--success-topic",
            self._topics[0],
            "--error-topic",
            self._topics[1],
        ]
        arguments += ["--model-port", str(self._model_port), "--data", str(self._data), "--concurrency", "3"]
        self.process = self._start("async_endpoint", *arguments, AWS_ENDPOINT_URL=self._cloud.url)
        self.runtime = self.process.client("sagemaker-runtime")

    def invoke(self, body: bytes, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.runtime.invoke_endpoint_async(EndpointName="parley", Body=body, **parameters)
        return answer

    def notification(self) -> dict[str, Any]:
        """Wait for the next notification and return it."""
        answer = self._queues.receive_message(QueueUrl=self._url, WaitTimeSeconds=15)
        assert "Messages" in answer, "no notification came"
        (message,) = answer["Messages"]
        self._queues.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        parsed: dict[str, Any] = json.loads(message["Body"])
        return parsed

    def read(self, location: str) -> bytes:
        bucket, key = location.removeprefix("s3://").split("/", 1)
        content: bytes = self.objects.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def instances(self) -> int:
        described = self.process.client("sagemaker").describe_endpoint(EndpointName="parley")
        assert described["EndpointStatus"] == "InService"
        count: int = described["ProductionVariants"][0]["CurrentInstanceCount"]
        return count


@pytest.fixture(scope="module")
def shared_container() -> Iterator[Container]:
    made = Container()
    yield made
    made.stop()


@pytest.fixture
def container(shared_container: Container) -> Container:
    shared_container.rest()
    return shared_container


@pytest.fixture(scope="module")
def shared_endpoint(
    cloud: LocalProcess, shared_container: Container, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    made = Endpoint(LocalProcess, cloud, tmp_path_factory.mktemp("endpoint"), shared_container.port)
    yield made
    made.process.kill()


@pytest.fixture
def endpoint(shared_endpoint: Endpoint, container: Container) -> Endpoint:
    """The endpoint that all tests share which do not kill it."""
    return shared_endpoint


def test_an_inline_body_is_answered_in_s3_and_in_the_notification(endpoint: Endpoint, container: Container) -> None:
    answer = endpoint.invoke(
        b'{"a": 1}',
        InferenceId="conversation.1.1",
        ContentType="application/json",
        Accept="application/json",
        CustomAttributes="trace=1",
        S3OutputPathExtension="conversation",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "conversation.1.1"
    assert answer["OutputLocation"] == f"s3://{endpoint.name}/model/out/conversation/conversation.1.1.out"
    assert answer["FailureLocation"] == f"s3://{endpoint.name}/model/fail/conversation/conversation.1.1-error.out"
    told = endpoint.notification()
    assert endpoint.read(answer["OutputLocation"]) == b'{"a": 1}'
    assert base64.b64decode(told.pop("responseBody")["content"]) == b'{"a": 1}'
    assert told.pop("eventTime") >= told.pop("receivedTime")
    assert told == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "application/json",
            "customAttributes": "trace=1",
            "endpointName": "parley",
        },
        "responseParameters": {"contentType": "application/json", "outputLocation": answer["OutputLocation"]},
        "inferenceId": "conversation.1.1",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    ((headers, _),) = container.seen
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert headers["x-amzn-sagemaker-inference-id"] == "conversation.1.1"
    assert (headers["content-type"], headers["accept"]) == ("application/json", "application/json")


def test_an_input_location_is_read_from_s3(endpoint: Endpoint, container: Container) -> None:
    body = b"y" * 200_000
    endpoint.objects.put_object(Bucket=endpoint.name, Key="model/in/1.json", Body=body)
    location = f"s3://{endpoint.name}/model/in/1.json"
    answer = endpoint.runtime.invoke_endpoint_async(EndpointName="parley", InputLocation=location)
    told = endpoint.notification()
    assert told["requestParameters"] == {"endpointName": "parley", "inputLocation": location}
    assert "responseBody" not in told, "a response over 128 KB travels by its address only"
    assert endpoint.read(answer["OutputLocation"]) == body


def test_a_missing_input_fails_the_inference(endpoint: Endpoint, container: Container) -> None:
    location = f"s3://{endpoint.name}/absent"
    answer = endpoint.runtime.invoke_endpoint_async(EndpointName="parley", InputLocation=location)
    told = endpoint.notification()
    assert told["invocationStatus"] == "Failed"
    assert location in told["failureReason"]
    assert json.loads(endpoint.read(answer["FailureLocation"]))["message"] == told["failureReason"]
    assert container.seen == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"status 500", "ClientError: Received server error (500) from model."),
        (b"status 400", "ClientError: Received client error (400) from model."),
        (b"chunked", "did not specify the required Content-Length header"),
        (b"wait", "did not respond within 1 seconds"),
        (b"break", "died 3 times"),
    ],
)
def test_what_goes_wrong_in_the_container_is_a_failure(endpoint: Endpoint, body: bytes, reason: str) -> None:
    answer = endpoint.invoke(body, InvocationTimeoutSeconds=1)
    told = endpoint.notification()
    assert told["invocationStatus"] == "Failed"
    assert reason in told["failureReason"]
    assert told["responseParameters"]["failureLocation"] == answer["FailureLocation"]
    failure = endpoint.read(answer["FailureLocation"])
    if body.startswith(b"status"):
        assert failure == b'{"error": "said the model"}'
        assert base64.b64decode(told["responseBody"]["content"]) == failure
    else:
        assert json.loads(failure) == {"message": told["failureReason"]}


@pytest.mark.parametrize(("size", "included"), [(128 * 1024, True), (128 * 1024 + 1, False)])
def test_a_response_is_included_up_to_128_kb(endpoint: Endpoint, size: int, included: bool) -> None:
    endpoint.invoke(b"large %d" % size)
    assert ("responseBody" in endpoint.notification()) is included


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"Body": b"x" * 128_001}, "128001"),
        ({}, "neither"),
        ({"Body": b"x", "InputLocation": "s3://b/k"}, "both"),
        ({"Body": b"x", "RequestTTLSeconds": 21_601}, "requestTTLSeconds"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3_601}, "invocationTimeoutSeconds"),
        ({"Body": b"x", "InferenceId": "a" * 65}, "inferenceId"),
        ({"Body": b"x", "Filename": "a.b.c"}, "filename"),
        ({"Body": b"x", "S3OutputPathExtension": "s3:x"}, "s3OutputPathExtension"),
        ({"Body": b"x", "EndpointName": "another"}, "Endpoint another of account .* not found"),
    ],
)
def test_violations_are_validation_errors(endpoint: Endpoint, parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ClientError, match=complaint) as caught:
        endpoint.runtime.invoke_endpoint_async(**{"EndpointName": "parley", **parameters})
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_other_operations_are_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ClientError, match="InvokeEndpointAsync"):
        endpoint.runtime.invoke_endpoint(EndpointName="parley", Body=b"x")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        endpoint.process.client("sagemaker").describe_endpoint(EndpointName="another")


def test_at_most_so_many_invocations_run_at_once(endpoint: Endpoint, container: Container) -> None:
    for _ in range(8):
        endpoint.invoke(b"wait")
    wait_until(lambda: container.running == 3)
    container.let_go.set()
    for _ in range(8):
        assert endpoint.notification()["invocationStatus"] == "Completed"
    assert container.most_running == 3


def test_the_same_inference_id_twice_is_two_inferences(endpoint: Endpoint, container: Container) -> None:
    for _ in range(2):
        endpoint.invoke(b"again", InferenceId="same")
    assert [endpoint.notification()["inferenceId"] for _ in range(2)] == ["same", "same"]
    assert len(container.seen) == 2


def test_requests_wait_for_a_container_that_is_not_up(
    start: Callable[..., LocalProcess], cloud: LocalProcess, tmp_path: Path
) -> None:
    absent = Container()
    absent.stop()
    endpoint = Endpoint(start, cloud, tmp_path, absent.port)
    assert endpoint.instances() == 0
    answer = endpoint.invoke(b"early")
    endpoint.process.kill()  # what was accepted survives, and still waits
    endpoint.start()
    container = Container(absent.port)
    assert endpoint.notification()["inferenceId"] == answer["InferenceId"]
    assert endpoint.instances() == 1
    container.stop()
    wait_until(lambda: endpoint.instances() == 0)


def test_a_running_inference_runs_again_after_a_kill(
    start: Callable[..., LocalProcess], cloud: LocalProcess, tmp_path: Path, container: Container
) -> None:
    endpoint = Endpoint(start, cloud, tmp_path, container.port)
    answer = endpoint.invoke(b"wait")
    wait_until(lambda: container.running == 1)
    endpoint.process.kill()
    container.let_go.set()
    endpoint.start()
    assert endpoint.notification()["inferenceId"] == answer["InferenceId"]
    assert len(container.seen) == 2


def test_a_request_past_its_time_to_live_expires(
    start: Callable[..., LocalProcess], cloud: LocalProcess, tmp_path: Path
) -> None:
    absent = Container()
    absent.stop()
    endpoint = Endpoint(start, cloud, tmp_path, absent.port)
    endpoint.invoke(b"old", InferenceId="old", RequestTTLSeconds=60)
    endpoint.process.kill()
    with sqlite3.connect(tmp_path / "endpoint.sqlite") as database:
        database.execute("UPDATE jobs SET received = received - 61")
    database.close()
    endpoint.start()
    told = endpoint.notification()
    assert (told["invocationStatus"], told["inferenceId"]) == ("Expired", "old")
    with sqlite3.connect(tmp_path / "endpoint.sqlite") as database:
        wait_until(lambda: database.execute("SELECT count(*) FROM jobs").fetchone() == (0,))
    database.close()


def test_the_endpoint_counts_its_requests(endpoint: Endpoint) -> None:
    ledger = f"{endpoint.process.url}/_parley/requests"
    urllib.request.urlopen(ledger, data=b"", timeout=5).close()
    endpoint.invoke(b"counted")
    endpoint.notification()
    with urllib.request.urlopen(ledger, timeout=5) as response:
        report = json.load(response)
    assert [(e["service"], e["operation"], e["count"]) for e in report["requests"]] == [
        ("sagemaker", "InvokeEndpointAsync", 1)
    ]
