"""How much of a request is taken: what is too long is refused by its length, before a byte of it is parsed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from parley.openai_api.fields import MAX_BODY_BYTES
from scripts.local.gateway import BODY_LIMIT, LAMBDA_PAYLOAD_LIMIT
from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.http.routes import ROUTES, SECRETS, SLACK_SECRETS, Route, slack_headers, visitor

READS_A_BODY = {
    "GET /webhooks/{channel}/{bot}",
    "POST /webhooks/{channel}/{bot}",
    "POST /v1/responses",
    "POST /v1/chat/completions",
    "POST /web/conversations/{id}/messages",
    "POST /web/conversations/{id}/messages/{sequence}/feedback",
}
ID = "0123abcd-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with StandInRuntime(StandInWiring(secrets=SECRETS)) as runtime:
        yield runtime.url


def permitted(route: Route, page: httpx.Client, body: bytes) -> dict[str, str]:
    """Headers with which the route takes a request."""
    if route.guard == "visitor":
        return {"Cookie": f"parley_visitor={page.cookies['parley_visitor']}", "X-Parley": "1"}
    if route.guard == "signature":
        return slack_headers(body, SLACK_SECRETS["default"])
    return {"Authorization": "Bearer key-a"} if route.guard == "key" else {}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_body_is_measured_before_it_is_parsed(url: str, http: httpx.Client, route: Route) -> None:
    def status(body: bytes) -> int:
        return http.request(
            route.method, route.path(ID), content=body, headers=permitted(route, page, body)
        ).status_code

    with visitor(url) as page:
        longest, longer = status(b"[" * MAX_BODY_BYTES), status(b"[" * (MAX_BODY_BYTES + 1))
        if str(route) in READS_A_BODY:
            assert (longest, longer) == (400, 413), "no JSON, and too long to find that out"
        else:
            assert longest == longer == status(b""), "nothing reads it"


@pytest.mark.parametrize("route", [r for r in ROUTES if r.guard in ("key", "visitor")], ids=str)
def test_nobody_without_credentials_has_a_body_read(http: httpx.Client, route: Route) -> None:
    body = b"[" * (MAX_BODY_BYTES + 1)
    assert http.request(route.method, route.path(ID), content=body).status_code == 401


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_the_gateway_refuses_by_the_announced_length_and_reads_nothing(url: str, route: Route) -> None:
    host = urlsplit(url)
    head = f"{route.method} {route.path(ID)} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n"
    with socket.create_connection((str(host.hostname), host.port or 0), timeout=5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_the_gateway_hands_a_function_no_more_than_lambda_takes(http: httpx.Client) -> None:
    body = b"x" * (LAMBDA_PAYLOAD_LIMIT + 1)
    assert http.post("/v1/responses", content=body, headers={"Authorization": "Bearer key-a"}).status_code == 413
