"""Raw bytes at the HTTP front: an answer in our error shape or a closed connection, and the next request is served."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.gateway import BODY_LIMIT, Gateway, refuse
from scripts.local.http_server import HttpServer, bind
from scripts.local.lambda_context import LambdaContext
from tests.fuzz.bounded import bounded
from tests.fuzz.front import TRACES, Front

SECONDS = 10.0
ODD = st.binary(max_size=30) | st.sampled_from(
    [
        b"\r\n",
        b"\x00",
        b"\xff",
        b" ",
        b": ",
        b"%",
        b"//",
        b"..",
        b"?a=%zz&a",
        b"x" * 70_000,
        b"chunked",
        b"-1",
        b"9" * 30,
    ]
)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"TRACE", b"PRI"]) | ODD
PATHS = st.sampled_from([b"/health", b"/v1/responses", b"/web/..%2f..%2fapp.py", b"*", b"http://x/health"]) | ODD
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"Upgrade"]) | ODD,
        st.sampled_from([b"0", b"5", b"100-continue", b"close", b"keep-alive"]) | ODD,
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def server(front: Front) -> Iterator[HttpServer]:
    import app

    gateway = Gateway(app.app, lambda: LambdaContext("api_handler", 30, 512, "us-east-1"))
    made = HttpServer(bind(0), gateway.handle, refuse, BODY_LIMIT)
    made.start()
    yield made
    made.stop(5)


def exchange(server: HttpServer, sent: bytes) -> bytes:
    """All that comes back for some bytes, after which the client says no more. Raises TimeoutError for a hang."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=SECONDS) as client:
        received = b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except TimeoutError:
            raise
        except OSError:  # reset, for it had heard enough
            pass
        return received


@bounded(80)
@given(METHODS, PATHS, HEADERS, st.binary(max_size=20))
def test_any_bytes_are_answered_or_closed_and_harm_nobody(
    server: HttpServer, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    received = exchange(server, method + b" " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + body)
    for status in re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE):
        assert int(status) < 500 or status in (b"501", b"505"), received
    assert not any(trace.encode() in received for trace in TRACES)
    for answer in re.findall(rb"^HTTP/1\.1 4.*?\r\n\r\n(\{.*?\}\})", received, re.MULTILINE | re.DOTALL):
        assert json.loads(answer)["error"]["message"]
    healthy = exchange(server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert healthy.endswith(b'{"status":"ok"}')
