"""The proxy that fails on demand: real HTTP between the code and every service it calls, in the caller's own thread.

It has no threads, so a process that holds one may fork, and calls happen in one order. Who serves it decides when: a
driver invokes a function in another process and serves its calls until it is done. Knows no service: a `Service` says
how a request is named, what answers it, and how a refusal looks there.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from scripts.local.http_server import HttpRequest, HttpResponse
from tests.chaos.faults import Effect, Fault

LOOK_SECONDS = 0.05
"""How often a caller that hangs is told again that its time is over: it may not have begun to wait the first time."""


class Service(Protocol):
    """One service, or all of AWS, behind an address of its own."""

    patience: float
    """Seconds after which its caller's client gives a request up."""

    def name(self, request: HttpRequest) -> str:
        """What the request calls, for instance `dynamodb.TransactWriteItems`."""

    def act(self, request: HttpRequest) -> HttpResponse:
        """Do what the request asks for."""

    def failure(self, request: HttpRequest, status: int) -> HttpResponse:
        """The service's own refusal: 500, or 429 for too many requests."""


class Caller(Protocol):
    """The invocation whose calls are served."""

    def kill(self) -> None:
        """End its process, as a crash would."""

    def time_out(self, seconds: float) -> None:
        """Let it find that `seconds` have passed without an answer; kills it when its function's time is up."""


@dataclass(frozen=True)
class Call:
    """One request as it came in: its number in the run, which function made it, and what it called."""

    number: int
    function: str
    name: str
    acted: int
    """How often the service acted on it."""


class Proxy:
    """Listens once for each service; `calls` grows with everything that comes in."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.calls: list[Call] = []
        self.fault: tuple[int, Fault] | None = None
        """The number of a call, and what happens there."""
        self._at: tuple[str, str] | None = None  # function and name of that call, once it has come
        self._late: list[tuple[Service, HttpRequest]] = []
        self._services = {_listen(): service for service in services.values()}
        self.urls = {
            name: f"http://127.0.0.1:{listening.getsockname()[1]}"
            for name, listening in zip(services, self._services, strict=True)
        }
        self._connections: dict[socket.socket, _Connection] = {}

    def serve(self, until: Callable[[], bool], also: list[Any], function: str, caller: Caller) -> None:
        """Answer calls of `function`, which `caller` runs, until `until()`; `also` can be read when that may be so."""
        while not until():
            waiting = [*self._services, *self._connections, *also]
            ready, _, _ = select.select(waiting, [], [], LOOK_SECONDS)
            if not ready:
                self._look_again(caller)
            for readable in ready:
                if readable in self._services:
                    accepted, _ = readable.accept()
                    self._connections[accepted] = _Connection(accepted, self._services[readable])
                elif readable in self._connections:
                    self._read(self._connections[readable], function, caller)

    def invocation_ended(self, function: str) -> None:
        """What it called too late acts now; a fault that has happened there happens no more."""
        if self._at is None or self._at[0] != function:
            return
        self.fault = self._at = None
        for service, request in self._late:
            service.act(request)
        self._late.clear()

    def close(self) -> None:
        """Close every connection; addresses stay."""
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _read(self, connection: _Connection, function: str, caller: Caller) -> None:
        request = connection.read()
        if request is None:
            self._drop(connection)
            return
        service = connection.service
        name = service.name(request)
        fault = self._fault_at(function, name)
        answer: HttpResponse | None = None
        acts = 1 if fault is None else fault.acted + (fault.effect is Effect.TWICE)
        self.calls.append(Call(len(self.calls) + 1, function, name, acts))
        if fault is not None and fault.effect is Effect.LATE:
            self._late.append((service, request))
        else:
            for _ in range(acts):
                answer = service.act(request)
        match fault.effect if fault is not None else None:
            case Effect.DIE:
                caller.kill()
            case Effect.HANG | Effect.LATE:
                connection.hangs = True
                caller.time_out(service.patience)
            case Effect.CLOSE:
                self._drop(connection)
            case Effect.ERROR:
                connection.answer(service.failure(request, 500))
            case Effect.THROTTLE:
                connection.answer(service.failure(request, 429))
            case Effect.TWICE | None:
                assert answer is not None
                connection.answer(answer)

    def _fault_at(self, function: str, name: str) -> Fault | None:
        """What happens at the call that has just come in."""
        if self.fault is None:
            return None
        number, fault = self.fault
        if len(self.calls) + 1 == number:
            self._at = (function, name)
            return fault
        return fault if fault.always and self._at == (function, name) else None

    def _look_again(self, caller: Caller) -> None:
        if any(connection.hangs for connection in self._connections.values()):
            caller.time_out(0)

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.connection]
        connection.drop()


class _Connection(BaseHTTPRequestHandler):
    """One kept-alive connection, read a request at a time by whoever saw that there is something to read."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def __init__(self, accepted: socket.socket, service: Service) -> None:
        self.request, self.client_address, self.service = accepted, accepted.getpeername(), service
        self.hangs = False
        self._request: HttpRequest | None = None
        self.setup()

    def read(self) -> HttpRequest | None:
        """The request that is coming in; None where the caller has closed instead."""
        self._request = None
        try:
            self.handle_one_request()
        except OSError:  # the caller was killed, or gave up
            return None
        return self._request

    def answer(self, response: HttpResponse) -> None:
        """Send a response."""
        self.send_response_only(response.status)
        for name, value in response.headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def drop(self) -> None:
        """Close without a word. Shut down first: a forked process may hold the same socket."""
        with contextlib.suppress(OSError):  # the other side was faster
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._take
        raise AttributeError(name)

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._request = HttpRequest(self.command, self.path, list(self.headers.items()), body, "127.0.0.1")

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()  # the caller waits for this before it sends its body
        return going_on

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: `Proxy.calls` says what came in."""


def _listen() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    return listening
