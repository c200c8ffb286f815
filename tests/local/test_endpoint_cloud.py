"""The endpoint's S3 and SNS calls last through passing failures and report lasting ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.local.endpoint_cloud import EndpointCloud, Stopping, split_location
from scripts.local.gateway import refuse
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind


class FailingCloud:
    """Answers requests with the given statuses, one after another, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.asked = threading.Event()
        self.objects: dict[str, bytes] = {}
        self.server = HttpServer(bind(0), self.answer, refuse, 10_000_000)
        self.server.start()

    def answer(self, request: HttpRequest) -> HttpResponse:
        self.asked.set()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200 and request.method == "PUT":
            self.objects[request.target] = request.body
        return HttpResponse(status)


@pytest.fixture
def failing() -> Iterator[FailingCloud]:
    made = FailingCloud()
    yield made
    made.server.stop(5)


@pytest.fixture
def cloud(failing: FailingCloud, monkeypatch: pytest.MonkeyPatch) -> EndpointCloud:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{failing.server.server_port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # what is tested is the endpoint's own patience, not botocore's
    session = boto3.Session("test", "test", region_name="us-east-1")
    return EndpointCloud(session, "bucket", "arn:ok", "arn:failed")


def test_a_cloud_that_fails_for_a_moment_loses_no_result(cloud: EndpointCloud, failing: FailingCloud) -> None:
    failing.statuses = [500, 503]
    cloud.write(cloud.output_location("a"), b"result", "text/plain")
    assert failing.objects == {"/bucket/model/out/a": b"result"}


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_cloud_that_refuses_for_good_is_not_asked_again(
    cloud: EndpointCloud, failing: FailingCloud, status: int
) -> None:
    failing.statuses = [status]
    with pytest.raises(ClientError):
        cloud.read_input("s3://bucket/key")
    assert failing.statuses == []


def test_stopping_ends_the_patience(cloud: EndpointCloud, failing: FailingCloud) -> None:
    failing.statuses = [500] * 1000
    outcome: list[type[BaseException]] = []

    def write() -> None:
        try:
            cloud.write(cloud.output_location("a"), b"result", None)
        except Stopping:
            outcome.append(Stopping)

    writer = threading.Thread(target=write)
    writer.start()
    assert failing.asked.wait(5)
    cloud.stop()
    writer.join(10)
    assert outcome == [Stopping]


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("s3://bucket/a/b?c.json", ("bucket", "a/b?c.json")),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a%20b", ("bucket", "a b")),
        ("https://s3.amazonaws.com/bucket/a/b", ("bucket", "a/b")),
    ],
)
def test_locations_name_bucket_and_key(location: str, parts: tuple[str, str]) -> None:
    assert split_location(location) == parts
