"""The gateway's events are API Gateway's, and no caller can disturb another."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chalice.app import Chalice, Request, Response

from scripts.local.gateway import BODY_LIMIT, LAMBDA_PAYLOAD_LIMIT, Gateway, RouteTable, refuse
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind
from scripts.local.lambda_context import LambdaContext


def make_app() -> Chalice:
    app = Chalice(app_name="test")

    def current() -> Request:
        assert app.current_request is not None
        return app.current_request

    app.api.binary_types.append("image/x-test")

    @app.route(
        "/event/{thing}",
        methods=["GET", "POST"],
        content_types=["application/json", "text/plain", "image/x-test"],
    )
    def show_event(thing: str) -> Response:
        return Response(json.dumps(current().to_original_event()), headers={"Content-Type": "application/json"})

    @app.route("/event/fixed", methods=["GET"])
    def fixed() -> Response:
        return Response("fixed", headers={"Content-Type": "text/plain", "Set-Cookie": ["a=1", "b=2"]})

    @app.route("/slow", methods=["GET"])
    def slow() -> None:
        threading.Event().wait(5)

    @app.route("/bytes", methods=["GET"])
    def content() -> Response:
        return Response(b"\x00\xff", headers={"Content-Type": "application/octet-stream"})

    @app.route("/function/{number}", methods=["GET"])
    def function(number: str) -> dict[str, Any]:
        before = (current().uri_params, app.lambda_context.aws_request_id)
        threading.Event().wait(0.002)  # lets the other threads in between
        assert before == (current().uri_params, app.lambda_context.aws_request_id)
        return dict(current().uri_params or {})

    return app


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return Gateway(make_app(), lambda: LambdaContext("api", 60, 128, "us-east-1"), integration_seconds=0.5)


def call(gateway: Gateway, method: str, target: str, body: bytes = b"", *headers: tuple[str, str]) -> HttpResponse:
    return gateway.handle(HttpRequest(method, target, list(headers), body, "127.0.0.1"))


def event_of(response: HttpResponse) -> dict[str, Any]:
    assert response.status == 200, response.body
    event: dict[str, Any] = json.loads(response.body)
    return event


def test_the_event_has_what_api_gateway_sends(gateway: Gateway) -> None:
    headers = [
        ("Host", "h"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Content-Type", "text/plain"),
        ("User-Agent", "u"),
    ]
    event = event_of(call(gateway, "POST", "/event/a%2Fb?q=1&q=2&empty=", b"hi", *headers))
    assert event["resource"] == "/event/{thing}"
    assert event["pathParameters"] == {"thing": "a%2Fb"}
    assert event["queryStringParameters"] == {"q": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"], "empty": [""]}
    assert event["headers"]["X-Two"] == "2"
    assert event["multiValueHeaders"]["X-Two"] == ["1", "2"]
    assert event["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert (event["body"], event["isBase64Encoded"]) == ("hi", False)
    about = event["requestContext"]
    assert about["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "u"}
    assert (about["resourcePath"], about["httpMethod"], about["stage"]) == ("/event/{thing}", "POST", "api")
    assert about["path"] == "/api/event/a%2Fb"
    assert len(about["requestId"]) == 36


def test_absent_parts_of_a_request_are_null(gateway: Gateway) -> None:
    event = event_of(call(gateway, "GET", "/event/x"))
    assert event["body"] is None
    assert event["queryStringParameters"] is None
    assert event["multiValueQueryStringParameters"] is None
    assert event["stageVariables"] is None


@pytest.mark.parametrize("kind", ["image/x-test", "text/plain; charset=utf-8"])
def test_bytes_that_are_no_text_arrive_as_base64(gateway: Gateway, kind: str) -> None:
    event = event_of(call(gateway, "POST", "/event/x", b"\xff\x00", ("Content-Type", kind)))
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\x00"


def test_binary_answers_and_repeated_headers_go_out_whole(gateway: Gateway) -> None:
    assert call(gateway, "GET", "/bytes", b"", ("Accept", "application/octet-stream")).body == b"\x00\xff"
    cookies = [value for name, value in call(gateway, "GET", "/event/fixed").headers if name == "Set-Cookie"]
    assert cookies == ["a=1", "b=2"]


def test_an_answer_without_content_type_is_json(gateway: Gateway) -> None:
    assert ("Content-Type", "application/json") in call(gateway, "GET", "/function/1").headers


def test_a_body_that_lambda_would_not_take_is_refused(gateway: Gateway) -> None:
    text = ("Content-Type", "text/plain")
    assert call(gateway, "POST", "/event/x", b"x" * LAMBDA_PAYLOAD_LIMIT, text).status == 502  # echoed with the event
    assert call(gateway, "POST", "/event/x", b"x" * (LAMBDA_PAYLOAD_LIMIT + 1), text).status == 413


def test_unknown_paths_and_methods_are_told_apart(gateway: Gateway) -> None:
    unknown = call(gateway, "GET", "/nowhere")
    assert unknown.status == 404
    assert set(json.loads(unknown.body)["error"]) == {"message", "type", "param", "code"}
    wrong = call(gateway, "DELETE", "/event/x")
    assert wrong.status == 405
    assert ("Allow", "GET, POST") in wrong.headers
    assert call(gateway, "GET", "relative").status == 400


def test_a_call_that_takes_too_long_is_answered_with_504(gateway: Gateway) -> None:
    assert call(gateway, "GET", "/slow").status == 504


def test_an_app_that_breaks_is_answered_with_502() -> None:
    class Broken(Chalice):
        def __call__(self, event: Any, context: Any) -> Any:
            return {"nothing": "useful"} if event["path"] == "/malformed" else 1 / 0

    app = Broken(app_name="broken")
    app.route("/malformed")(lambda: None)
    app.route("/crash")(lambda: None)
    broken = Gateway(app, lambda: LambdaContext("api", 60, 128, "us-east-1"))
    assert call(broken, "GET", "/malformed").status == 502
    assert call(broken, "GET", "/crash").status == 502


def test_requests_side_by_side_never_see_each_other(gateway: Gateway) -> None:
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda number: call(gateway, "GET", f"/function/{number}"), range(200)))
    assert [json.loads(response.body) for response in responses] == [{"number": str(n)} for n in range(200)]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/", "/"),
        ("/web", "/web"),
        ("/web/", "/web"),
        ("/web/x", "/web/{file}"),
        ("/web/list", "/web/list"),
        ("/web/list/1", "/web/list/{id}"),
        ("/web/other/1", None),
        ("/web//", "/web"),
        ("/web/list/", "/web/list"),
        ("//", "/"),
    ],
)
def test_a_literal_segment_wins_over_a_parameter(path: str, pattern: str | None) -> None:
    table = RouteTable({p: ["GET"] for p in ["/", "/web", "/web/{file}", "/web/list", "/web/list/{id}"]})
    match = table.match(path)
    assert (match.pattern if match else None) == pattern


@pytest.fixture
def served(gateway: Gateway) -> Iterator[HttpServer]:
    server = HttpServer(bind(0), gateway.handle, refuse, BODY_LIMIT)
    server.start()
    yield server
    assert server.stop(5)


def test_head_answers_like_get_without_a_body(served: HttpServer) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=5)
    for method in ("HEAD", "GET"):  # one connection: it is kept open between requests
        connection.request(method, "/event/fixed")
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Length")) == (200, "5")
        assert response.read() == (b"" if method == "HEAD" else b"fixed")
    connection.close()
