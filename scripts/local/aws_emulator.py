"""The emulated cloud: moto's server over HTTP, one request at a time, counted, and kept across restarts.

One lock makes every request atomic (moto's stores are not safe between threads); a long poll sleeps with
the lock released. Knows nothing of Parley: the resources are made by whoever provisions.

    python -m scripts.local.aws_emulator --port 4566 --data DIR
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import Message, Queue
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer

from scripts.local import moto_stacks, moto_tables
from scripts.local.durable_state import DurableState
from scripts.local.moto_queues import QueueSemantics
from scripts.local.process import end_requested, report_ready
from scripts.local.request_ledger import LEDGER_PATH, RequestLedger, WireRequest, read_wire_request
from scripts.local.state_changes import StateChanges

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class EmulatorApplication:
    """WSGI: counts a request, runs moto under the lock, makes its effects durable, then answers."""

    def __init__(self, state: DurableState | None) -> None:
        self._lock = threading.RLock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._ledger = RequestLedger()
        self._queues = QueueSemantics(self._lock, state or NothingKept())
        self._queues.install()
        moto_tables.install()
        moto_stacks.install()
        self._state = state
        self._changes = StateChanges(state, self._queues) if state else None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; the body is read before the lock is taken, so a slow client delays no one."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] == LEDGER_PATH:
            report = self._ledger.report(reset=environ["REQUEST_METHOD"] == "POST")
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(report)))])
            return [report]
        request = _wire_request(environ, body)
        status, headers, answer = self._run_moto(environ, request, body)
        if environ["REQUEST_METHOD"] != "HEAD" and not status.startswith(("204", "304")):
            # without a length the server would have to close the connection after each answer
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(answer))))
        start_response(status, headers)
        return [answer]

    def _run_moto(self, environ: Environ, request: WireRequest, body: bytes) -> tuple[str, list[Any], bytes]:
        captured: list[tuple[str, list[Any]]] = []

        def capture(status: str, headers: list[Any], exc_info: Any = None) -> Callable[[bytes], object]:
            captured.append((status, headers))
            return lambda data: None

        with self._lock:
            self._queues.waited.seconds = 0.0
            started = time.perf_counter()
            answer = b"".join(self._moto.get_application(environ)(environ, capture))
            status, headers = captured[-1]
            if self._changes and status.startswith("2"):
                self._changes.record(request, environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
            if self._state:
                self._state.flush()
            spent = time.perf_counter() - started - self._queues.waited.seconds
        self._ledger.add(request, int(status[:3]), spent)
        return status, headers, answer

    def close(self) -> None:
        """Keep everything and stop keeping; requests still running are not answered any more."""
        with self._lock:
            if self._state:
                self._state.close()
                self._state = self._changes = None


class NothingKept:
    """A QueueObserver for an emulator without a data folder."""

    def message_changed(self, queue: Queue, message: Message) -> None:
        """Keep nothing."""

    def message_removed(self, queue: Queue, message: Message) -> None:
        """Keep nothing."""

    def deduplication_remembered(self, queue: Queue, key: str, message: Message) -> None:
        """Keep nothing."""


class EmulatorRequestHandler(MotoRequestHandler):
    """moto's handler with connections kept open, since clients pool them, and without an access log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536  # head and body leave in one packet

    def run_wsgi(self) -> None:
        """Answer one request and keep the connection (werkzeug's own closes it and lingers 10 ms)."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda data: None

        body = b"".join(self.server.app(self.make_environ(), start_response))
        status, headers = started[-1]
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Say "100 Continue" at once: botocore waits a second for it before each S3 upload."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: the ledger counts requests."""


def make_emulator(port: int, data: Path | None) -> tuple[BaseWSGIServer, EmulatorApplication]:
    """Return a bound server on 127.0.0.1 (port 0: a free one) and its application; the caller serves.

    Replaces parts of moto in the whole process: use one emulator a process, and none beside ``mock_aws``.
    """
    application = EmulatorApplication(DurableState(data / "cloud.sqlite") if data else None)
    server = ThreadedWSGIServer("127.0.0.1", port, application, handler=EmulatorRequestHandler)
    server.daemon_threads = True
    return server, application


def _wire_request(environ: Environ, body: bytes) -> WireRequest:
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name[:5] == "HTTP_"}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    return read_wire_request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], headers, body)


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    parser = argparse.ArgumentParser(description="Serve an emulated AWS on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument(
        "--data", type=Path, help="folder that keeps items, objects and messages; default: nothing is kept"
    )
    parser.add_argument("--ready-fd", type=int, help="file descriptor that gets one JSON line once requests are taken")
    arguments = parser.parse_args()
    ended = end_requested()
    # moto makes its own boto3 sessions, which need a region and keys, and must not look for real ones
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    try:
        server, application = make_emulator(arguments.port, arguments.data)
    except OSError as error:
        print(
            f"cannot listen on 127.0.0.1:{arguments.port}: {error.strerror}; choose another --port",
            file=sys.stderr,
        )
        return 1
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    report_ready(arguments.ready_fd, {"port": server.server_port})
    ended.wait()
    server.shutdown()
    application.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
