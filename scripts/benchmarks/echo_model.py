"""A model server that says again what was said last: SageMaker's container contract, and no model to wait for."""

from __future__ import annotations

import argparse
import json
import threading

from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind
from scripts.local.stand_in.endpoint import echo

JSON = [("Content-Type", "application/json")]


def answer(request: HttpRequest) -> HttpResponse:
    """/ping and /invocations."""
    if request.target == "/ping":
        return HttpResponse(200)
    return HttpResponse(200, JSON, json.dumps(echo(json.loads(request.body)), ensure_ascii=False).encode())


def refuse(status: int, message: str) -> HttpResponse:
    """What the server itself refuses."""
    return HttpResponse(status, JSON, json.dumps({"error": {"message": message}}).encode())


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    HttpServer(bind(parser.parse_args().port), answer, refuse, 10_000_000).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
