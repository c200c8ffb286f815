"""A small threaded HTTP/1.1 server: whole requests in, whole responses out, on an already bound socket.

Shared by the gateway and the async endpoint. Refuses what it cannot take (too long, no length, bad
length) before reading the body. Knows nothing of what requests mean.
"""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IDLE_SECONDS = 60  # a connection without a request, or a body that does not advance, ends after this
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class HttpRequest:
    """One request as it came: ``target`` is the raw path and query, ``headers`` keep case, order, repeats."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    client: str

    def header(self, name: str) -> str | None:
        """Return the last value of a header, or None; case of the name does not matter."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[-1] if found else None


@dataclass(frozen=True)
class HttpResponse:
    """One response; the server adds Content-Length, Date and Server."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


Handle = Callable[[HttpRequest], HttpResponse]
Refuse = Callable[[int, str], HttpResponse]


class HttpServer(ThreadingHTTPServer):
    """Serves ``handle`` on a bound socket, a thread for each connection.

    ``refuse(status, message)`` words the refusals of the server itself: a client sees one error shape.
    """

    daemon_threads = True

    def __init__(self, bound: socket.socket, handle: Handle, refuse: Refuse, body_limit: int) -> None:
        super().__init__(bound.getsockname()[:2], _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.server_address = bound.getsockname()[:2]
        self.server_name, self.server_port = "127.0.0.1", bound.getsockname()[1]
        self.handle_request_body = handle
        self.refuse = refuse
        self.body_limit = body_limit
        self._running = 0
        self._quiet = threading.Condition()
        bound.listen(128)

    def start(self) -> None:
        """Serve in a background thread."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self, seconds: float) -> bool:
        """Take no new connection, wait up to ``seconds`` for running requests; returns whether all ended."""
        self.shutdown()
        self.server_close()
        with self._quiet:
            return self._quiet.wait_for(lambda: self._running == 0, seconds)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Run the handler (a crash is answered with 500); it counts as running until ``finished()``."""
        with self._quiet:
            self._running += 1
        try:
            return self.handle_request_body(request)
        except Exception:
            traceback.print_exc()
            return self.refuse(500, "Internal server error.")

    def finished(self) -> None:
        """One answered request has left."""
        with self._quiet:
            self._running -= 1
            self._quiet.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; one connection must not end the server."""


def bind(port: int) -> socket.socket:
    """Return a socket bound to 127.0.0.1:``port`` (0: a free one), not listening. Raises OSError if taken."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: HttpServer

    def version_string(self) -> str:
        return "parley"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._refuse(refusal)
            return
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True  # the client left in the middle of its body
            return
        request = HttpRequest(self.command, self.path, list(self.headers.items()), body, self.client_address[0])
        try:
            self._write(self.server.answer(request))
        finally:
            self.server.finished()

    def _refusal(self) -> tuple[int, str] | None:
        if self.headers.defects:
            return 400, "The request has a header line that is none."
        lengths = set(self.headers.get_all("Content-Length", []))
        if self.headers.get("Transfer-Encoding"):
            return 411, "Send a Content-Length; chunked request bodies are not taken."
        if len(lengths) > 1 or not all(value.isascii() and value.isdigit() for value in lengths):
            return 400, "Content-Length must be one non-negative number."
        length = int(lengths.pop()) if lengths else 0
        if length > self.server.body_limit:
            return 413, f"The body is {length} bytes long; at most {self.server.body_limit} are taken."
        return None

    def handle_expect_100(self) -> bool:
        if self._refusal():
            return True  # _serve then answers with the refusal in place of "100 Continue"
        going_on = super().handle_expect_100()
        self.wfile.flush()  # the client waits for this before it sends its body
        return going_on

    def _refuse(self, refusal: tuple[int, str]) -> None:
        self.close_connection = True
        self._write(self.server.refuse(*refusal))
        self._linger()

    def _linger(self) -> None:
        """Read on for a moment: closing over unread data resets the connection before the answer arrives."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER_SECONDS)
        deadline, read = time.monotonic() + LINGER_SECONDS, 0
        while time.monotonic() < deadline and read < LINGER_BYTES:
            data = self.rfile.read1(65536)
            if not data:
                return
            read += len(data)

    def _write(self, response: HttpResponse) -> None:
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status not in {204, 304} and response.status >= 200:
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by the standard library for request lines and headers that it cannot read."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or ""
        self.requestline = getattr(self, "requestline", "")
        self.request_version = "HTTP/1.1"
        self._write(self.server.refuse(code, message or HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: requests are logged by the functions that serve them."""
