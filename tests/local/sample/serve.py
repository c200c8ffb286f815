"""A model container that answers with the request in capitals; its behaviour follows words in the request."""

from __future__ import annotations

import argparse
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Container(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"die now" in body:
            os._exit(3)
        if b"fail now" in body:
            self._answer(500, b'{"message": "no"}')
        else:
            self._answer(200, body.upper())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--model")
arguments = parser.parse_args()
if arguments.model == "broken":
    sys.exit("no such model: broken")
ThreadingHTTPServer(("127.0.0.1", arguments.port), Container).serve_forever()
