"""The deployed functions in one process: the Chalice app behind the gateway, its queues and its schedule.

Imports ``app`` (chalice-app/app.py) with the environment that the functions get; what they print goes to
this process's stdout. Knows which handler works which queue, and nothing of what handlers do.
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from scripts.local.event_pump import EventPump, EventSource, Schedule, batch_sizes
from scripts.local.function_settings import REST_API, read_function_settings
from scripts.local.gateway import BODY_LIMIT, Gateway, refuse
from scripts.local.http_server import HttpServer, bind
from scripts.local.lambda_context import LambdaContext
from scripts.local.process import end_requested, report_ready
from scripts.local.sqs_queue import SqsQueue

SWEEP_SECONDS = 60.0
CALLERS_GRACE_SECONDS = 2.0  # a caller that waits for an answer may wait 29 s: it is not worth that on Ctrl-C
INVOCATION_GRACE_SECONDS = 10.0


def context_maker(config_file: Path, function: str, region: str) -> Callable[[], LambdaContext]:
    """Return a function that makes the context of one invocation of ``function``."""
    settings = read_function_settings(config_file, function)
    return lambda: LambdaContext(function, settings.timeout_seconds, settings.memory_mb, region)


class LambdaHost:
    """Everything that invokes the functions, started and stopped as one."""

    def __init__(
        self,
        module: Any,
        bound: socket.socket,
        queues: dict[str, str],
        config_file: Path,
        sweep_seconds: float,
    ) -> None:
        session = boto3.Session()
        region = session.region_name

        def contexts(function: str) -> Callable[[], LambdaContext]:
            return context_maker(config_file, function, region)

        sizes = batch_sizes(module.app)
        gateway = Gateway(module.app, contexts(REST_API))
        self.server = HttpServer(bound, gateway.handle, refuse, BODY_LIMIT)
        self._pump = EventPump(
            [
                EventSource(
                    SqsQueue(session, url), getattr(module, function), contexts(function), batch_size=sizes[function]
                )
                for function, url in queues.items()
            ]
        )
        self._schedule = Schedule(module.sweep, contexts("sweep"), region, sweep_seconds)

    def start(self) -> None:
        """Take HTTP requests, poll the queues, run the schedule."""
        self.server.start()
        self._pump.start()
        self._schedule.start()

    def stop(self) -> None:
        """Begin nothing new; running invocations get ten seconds, waiting HTTP callers two."""
        self.server.stop(CALLERS_GRACE_SECONDS)
        self._pump.stop(INVOCATION_GRACE_SECONDS)
        self._schedule.stop(CALLERS_GRACE_SECONDS)


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the Chalice app's functions behind HTTP and queues.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--listen-fd", type=int, help="an already bound socket, in place of --port")
    parser.add_argument("--queue", action="append", default=[], metavar="HANDLER=URL", help="a queue and who works it")
    parser.add_argument("--config", type=Path, default=Path("chalice-app/.chalice/config.json"))
    parser.add_argument("--sweep-seconds", type=float, default=SWEEP_SECONDS)
    parser.add_argument("--ready-fd", type=int, help="file descriptor that gets one JSON line once requests are taken")
    arguments = parser.parse_args()
    ended = end_requested()
    bound = socket.socket(fileno=arguments.listen_fd) if arguments.listen_fd is not None else bind(arguments.port)
    queues = dict(entry.split("=", 1) for entry in arguments.queue)
    host = LambdaHost(importlib.import_module("app"), bound, queues, arguments.config, arguments.sweep_seconds)
    host.start()
    report_ready(arguments.ready_fd, {"port": host.server.server_port})
    ended.wait()
    host.stop()
    sys.stdout.flush()
    # pollers may still wait in a long poll: nothing of theirs is worth keeping the process for
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
