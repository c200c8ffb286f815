"""The HTTP server refuses what it cannot take before reading it, and serves others meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from scripts.local.gateway import refuse
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind

LIMIT = 1000


def handle(request: HttpRequest) -> HttpResponse:
    if request.target == "/crash":
        raise RuntimeError("broken handler")
    return HttpResponse(200, [], request.body or b"nothing")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    made = HttpServer(bind(0), handle, refuse, LIMIT)
    made.start()
    yield made
    made.stop(5)


def exchange(server: HttpServer, *parts: bytes) -> bytes:
    """Send raw bytes and return all that comes back until the server closes or is silent for a second."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=1) as client:
        for part in parts:
            client.sendall(part)
        received = b""
        try:
            while data := client.recv(65536):
                received += data
        except TimeoutError:
            pass
        return received


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nbroken header\r\n\r\n", b"400"),
        (b"GET /\x00 HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_bad_requests_are_refused_in_one_error_shape_without_reading_on(
    server: HttpServer, head: bytes, status: bytes
) -> None:
    answer = exchange(server, head)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer
    assert b'{"error": {' in answer


def test_the_refusal_reaches_a_client_that_sends_its_body_all_the_same(server: HttpServer) -> None:
    body = b"x" * 2_000_000
    answer = exchange(server, b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", body)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_connection_serves_one_request_after_another(server: HttpServer) -> None:
    one = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    last = b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = exchange(server, one + one + last)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b"abc") == 2
    assert answer.endswith(b"nothing")


def test_a_client_that_asks_first_is_told_to_go_on(server: HttpServer) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as client:
        client.sendall(head)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert client.makefile("rb").read().endswith(b"abc")


def test_a_handler_that_crashes_costs_only_its_own_answer(server: HttpServer) -> None:
    answer = exchange(server, b"GET /crash HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"broken handler" not in answer
    assert answer.count(b"HTTP/1.1 200") == 1


def test_clients_that_stall_or_vanish_hold_no_one_up(server: HttpServer) -> None:
    stalled = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(20)]
    for number, client in enumerate(stalled):
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\nstart"[: 10 + 2 * number])
    assert exchange(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
    for client in stalled:
        client.close()


def test_stopping_waits_for_running_requests() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(request: HttpRequest) -> HttpResponse:
        entered.set()
        leave.wait(10)
        return HttpResponse(200, [], b"done")

    server = HttpServer(bind(0), wait, refuse, LIMIT)
    server.start()
    answers: list[bytes] = []
    request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    caller = threading.Thread(target=lambda: answers.append(exchange(server, request)))
    caller.start()
    assert entered.wait(5)
    assert server.stop(0.01) is False
    leave.set()
    caller.join(5)
    assert answers[0].endswith(b"done")
