"""The proxy does at a named call what it is told, once or for as long as the invocation lasts, and writes it down."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import urllib3

from scripts.local.http_server import HttpRequest, HttpResponse
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.proxy import Proxy


class Counter:
    """A service that counts what it does."""

    patience = 7.0

    def __init__(self) -> None:
        self.acts: list[bytes] = []

    def name(self, request: HttpRequest) -> str:
        return f"counter.{request.target[1:]}"

    def act(self, request: HttpRequest) -> HttpResponse:
        self.acts.append(request.body)
        return HttpResponse(200, [("X-Kind", "real")], b"%d" % len(self.acts))

    def failure(self, request: HttpRequest, status: int) -> HttpResponse:
        return HttpResponse(status)


class Process:
    """An invocation whose end somebody waits for."""

    def __init__(self) -> None:
        self.killed = threading.Event()
        self.passed: list[float] = []
        self.timed_out = threading.Event()

    def kill(self) -> None:
        self.killed.set()

    def time_out(self, seconds: float) -> None:
        self.passed.append(seconds)
        self.timed_out.set()


class Bench:
    """A proxy in front of a counter, a client, and the invocation that the client's calls count for."""

    def __init__(self) -> None:
        self.service, self.process = Counter(), Process()
        self.proxy = Proxy({"counter": self.service})
        self.pool = urllib3.PoolManager(retries=False, timeout=20)

    def post(self, call: str, body: bytes = b"x") -> urllib3.BaseHTTPResponse:
        return self.pool.request("POST", f"{self.proxy.urls['counter']}/{call}", body=body)

    def breaks(self, call: int, fault: str) -> None:
        self.proxy.fault = (call, _fault(fault))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with _served(made):
        yield made


@contextmanager
def _served(bench: Bench) -> Iterator[None]:
    stop, stopped = socket.socketpair()
    ended = lambda: bool(select.select([stopped], [], [], 0)[0])  # noqa: E731
    serving = threading.Thread(target=bench.proxy.serve, args=(ended, [stopped], "think", bench.process))
    serving.start()
    try:
        yield
    finally:
        stop.send(b".")
        serving.join(timeout=10)
        assert not serving.is_alive()


def _fault(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def test_without_a_fault_it_passes_everything_on_and_writes_it_down(bench: Bench) -> None:
    answers = [bench.post("Add", body) for body in (b"one", b"", b"z" * 300_000)]
    assert [(a.status, a.data, a.headers["X-Kind"]) for a in answers] == [
        (200, b"1", "real"), (200, b"2", "real"), (200, b"3", "real"),
    ]  # fmt: skip
    assert bench.service.acts == [b"one", b"", b"z" * 300_000]
    assert [(c.number, c.function, c.name, c.acted) for c in bench.proxy.calls] == [
        (1, "think", "counter.Add", 1), (2, "think", "counter.Add", 1), (3, "think", "counter.Add", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("fault", "acts"), [("refuse", 0), ("drop", 1)])
def test_a_lost_connection_loses_the_answer_and_perhaps_the_act(bench: Bench, fault: str, acts: int) -> None:
    bench.breaks(1, fault)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        bench.post("Add")
    assert len(bench.service.acts) == acts
    assert bench.post("Add").status == 200, "only once"


@pytest.mark.parametrize(
    ("fault", "status", "acts"), [("500", 500, 0), ("500-acted", 500, 1), ("throttle", 429, 0), ("twice", 200, 2)]
)
def test_an_answer_may_lie_about_what_was_done(bench: Bench, fault: str, status: int, acts: int) -> None:
    bench.breaks(1, fault)
    assert bench.post("Add").status == status
    assert len(bench.service.acts) == acts == bench.proxy.calls[0].acted


def test_what_is_always_so_lasts_until_the_invocation_ends_and_touches_no_other_call(bench: Bench) -> None:
    bench.breaks(2, "500-always")
    statuses = [bench.post(call).status for call in ("Add", "Add", "Look", "Add")]
    assert statuses == [200, 500, 200, 500]
    bench.proxy.invocation_ended("think")
    assert bench.post("Add").status == 200


@pytest.mark.parametrize(("fault", "acts"), [("die-before", 0), ("die-after", 1)])
def test_the_process_dies_on_either_side_of_the_act(bench: Bench, fault: str, acts: int) -> None:
    bench.breaks(1, fault)
    with _client_that_waits(bench):
        assert bench.process.killed.wait(10)
        assert len(bench.service.acts) == acts


def test_a_hanging_call_uses_up_the_patience_of_its_client(bench: Bench) -> None:
    bench.breaks(1, "hang-before")
    with _client_that_waits(bench):
        assert bench.process.timed_out.wait(10)
        assert bench.process.passed[0] == Counter.patience
        assert not bench.service.acts


def test_a_late_call_acts_once_its_invocation_is_over(bench: Bench) -> None:
    bench.breaks(1, "late")
    with _client_that_waits(bench):
        assert bench.process.timed_out.wait(10)
        assert not bench.service.acts
        bench.proxy.invocation_ended("reply")
        assert not bench.service.acts, "that was another one"
        bench.proxy.invocation_ended("think")
        assert bench.service.acts == [b"x"]


@contextmanager
def _client_that_waits(bench: Bench) -> Iterator[None]:
    """A client that has sent a call, and gives up at the end."""
    address = bench.proxy.urls["counter"].removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as client:
        client.sendall(b"POST /Add HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        yield
