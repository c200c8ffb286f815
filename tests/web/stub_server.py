"""The web page's API in memory, with turns that a test can hold at any state. Knows nothing of the real routes.

Nothing here is timed: a turn takes one step each time the page asks for its conversation, up to where it is held.
Run as a program, it serves the page for a look at it: python -m tests.web.stub_server [PORT]
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chalicelib.web_page import HEADERS

FOLDER = Path(__file__).parents[2] / "chalice-app" / "chalicelib" / "web"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATES = ("queued", "waking", "thinking", "done")
PAGE = 50
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Thread:
    """One conversation: what is listed, what waits in the inbox, and the turn in progress or the last one."""

    id: str
    title: str = ""
    updated: float = 0.0
    messages: list[dict[str, Any]] = field(default_factory=list)
    inbox: list[dict[str, Any]] = field(default_factory=list)
    turn: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a turn is in progress."""
        return self.turn is not None and self.turn["state"] in ("waking", "thinking")

    def add(self, turn: int, role: str, text: str, client_id: str | None = None) -> None:
        """List one more message."""
        self.updated = time.time()
        entry = {"sequence": len(self.messages) + 1, "turn": turn, "role": role, "text": text}
        self.messages.append(entry | {"created": self.updated, "client_id": client_id, "feedback": None})


@dataclass
class Stub:
    """The server's state, and the levers that a test pulls."""

    answer: Callable[[str], str] = lambda text: f"You said: {text}"
    hold: str = "done"
    """How far turns go: one of STATES; a held turn goes on when this is changed."""
    failure: str | None = None
    """When set, turns end as failed with this text."""
    refusal: tuple[int, str] | None = None
    """When set, the status and message that POSTs of messages get."""
    is_down: bool = False
    """Whether every API call gets 503."""
    delay: float = 0.0
    """Seconds before an API call is answered."""
    threads: dict[str, Thread] = field(default_factory=dict)
    posts: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    """When (time.monotonic), method and path of each API call."""

    def seed(self, number: int, title: str, *texts: str, age: float = 0.0) -> str:
        """A finished conversation of alternating user and assistant messages; returns its id."""
        thread = Thread(f"00000000-0000-4000-8000-{number:012d}", title)
        for index, text in enumerate(texts):
            thread.add(
                index // 2 + 1, "assistant" if index % 2 else "user", text, None if index % 2 else f"seed-{index}"
            )
        thread.turn = {"number": max(1, len(texts) // 2), "state": "delivered", "error": None}
        thread.updated = time.time() - age
        self.threads[thread.id] = thread
        return thread.id

    def step(self, thread: Thread) -> None:
        """Let the conversation go one state further."""
        reach = STATES.index(self.hold)
        if not thread.running:
            if thread.inbox and reach >= STATES.index("waking"):
                self._take_inbox(thread)
        elif thread.turn is not None:
            self._take_inbox_behind(thread)
            following = STATES[STATES.index(thread.turn["state"]) + 1]
            if STATES.index(following) > reach:
                return
            if following == "done":
                self._end(thread)
            else:
                thread.turn["state"] = following

    def _take_inbox(self, thread: Thread) -> None:
        number = (thread.turn["number"] if thread.turn else 0) + 1
        self._list(thread, number)
        thread.turn = {"number": number, "state": "waking", "error": None, "estimate": 420}

    def _take_inbox_behind(self, thread: Thread) -> None:
        if thread.turn is not None:
            self._list(thread, thread.turn["number"] + 1)

    def _list(self, thread: Thread, number: int) -> None:
        for message in thread.inbox:
            thread.add(number, "user", message["text"], message["client_id"])
            thread.title = thread.title or message["text"][:60]
        thread.inbox.clear()

    def _end(self, thread: Thread) -> None:
        turn = thread.turn
        if turn is None:
            return
        number = turn["number"]
        if self.failure:
            thread.turn = {"number": number, "state": "failed", "error": self.failure}
        else:
            asked = "\n".join(m["text"] for m in thread.messages if m["turn"] == number)
            thread.add(number, "assistant", self.answer(asked))
            thread.turn = {"number": number, "state": "delivered", "error": None}
        if any(message["turn"] == number + 1 for message in thread.messages):
            thread.turn = {"number": number + 1, "state": "waking", "error": None, "estimate": 420}


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status)


def application(stub: Stub) -> Starlette:
    """The page's files and its API over `stub`."""

    async def page(request: Request) -> Response:
        response = _file("index.html", {"Cache-Control": "no-store"})
        response.set_cookie("parley_visitor", "stub", httponly=True, samesite="strict")
        return response

    async def file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in {path.name for path in FOLDER.iterdir()}:
            return Response("not found", 404)
        return _file(name, {"Cache-Control": "no-cache"})

    async def conversations(request: Request) -> Response:
        newest = sorted((t for t in stub.threads.values() if t.turn), key=lambda t: -t.updated)
        return JSONResponse({"conversations": [_entry(thread) for thread in newest[:100]]})

    async def conversation(request: Request) -> Response:
        thread = stub.threads.get(request.path_params["id"])
        if thread is not None:
            stub.step(thread)
        if thread is None or thread.turn is None:
            return _error(404, "There is no such conversation.")
        if request.method == "DELETE":
            del stub.threads[thread.id]
            return JSONResponse({"deleted": True})
        before = int(request.query_params.get("before", 1_000_000))
        older = [message for message in thread.messages if message["sequence"] < before]
        messages = older[-PAGE:]
        found = {"id": thread.id, "title": thread.title, "messages": messages, "turn": thread.turn}
        return JSONResponse(found | {"earlier": len(older) > len(messages)})

    async def messages(request: Request) -> Response:
        if stub.refusal:
            return _error(*stub.refusal)
        id, body = request.path_params["id"], await request.json()
        if not UUID.fullmatch(id) or not UUID.fullmatch(body["client_id"]) or not body["text"].strip():
            return _error(400, "The ids must be UUIDs in lower case, and the text not empty.")
        seen = {post["client_id"] for post in stub.posts}
        stub.posts.append(body)
        thread = stub.threads.setdefault(id, Thread(id))
        if body["client_id"] not in seen:
            thread.inbox.append(body)
        return JSONResponse({"id": id, "client_id": body["client_id"]}, 202)

    async def feedback(request: Request) -> Response:
        thread, body = stub.threads[request.path_params["id"]], await request.json()
        message = thread.messages[request.path_params["sequence"] - 1]
        if message["role"] != "assistant":
            return _error(404, "There is no such answer.")
        message["feedback"] = body["rating"]
        return JSONResponse({"sequence": message["sequence"], "feedback": message["feedback"]})

    async def cancel(request: Request) -> Response:
        thread = stub.threads[request.path_params["id"]]
        if not thread.running or thread.turn is None:
            return JSONResponse({"cancelled": False})
        thread.turn["state"] = "cancelled"
        return JSONResponse({"cancelled": True})

    one = "/web/conversations/{id}"
    routes = [
        Route("/", page),
        Route("/web/conversations", conversations),
        Route(one, conversation, methods=["GET", "DELETE"]),
        Route(f"{one}/messages", messages, methods=["POST"]),
        Route(f"{one}/messages/{{sequence:int}}/feedback", feedback, methods=["POST"]),
        Route(f"{one}/cancel", cancel, methods=["POST"]),
        Route("/web/{file}", file),
    ]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=_gate(stub))])


def _gate(stub: Stub) -> Callable[[Request, RequestResponseEndpoint], Any]:
    """What every API call goes through: the log, the levers, the visitor's cookie and the header against forgery."""

    async def gate(request: Request, proceed: RequestResponseEndpoint) -> Response:
        if not request.url.path.startswith("/web/conversations"):
            return await proceed(request)
        stub.calls.append((time.monotonic(), request.method, request.url.path))
        await asyncio.sleep(stub.delay)
        if stub.is_down:
            return Response("Service Unavailable", 503)
        forged = request.method != "GET" and request.headers.get("x-parley") != "1"
        if forged or "parley_visitor" not in request.cookies:
            return _error(401, "No visitor's cookie, or no X-Parley header.")
        return await proceed(request)

    return gate


def _file(name: str, headers: dict[str, str]) -> Response:
    path = FOLDER / name
    policy = {name: str(value) for name, value in HEADERS.items()}
    return Response(path.read_bytes(), headers=headers | policy, media_type=KINDS[path.suffix])


def _entry(thread: Thread) -> dict[str, Any]:
    status = "thinking" if thread.running else "idle"
    return {"id": thread.id, "title": thread.title, "updated": thread.updated, "status": status}


class StubServer:
    """The stub behind a real port of this machine; `url` is where the page is."""

    def __init__(self, port: int = 0) -> None:
        self.stub = Stub()
        config = uvicorn.Config(application(self.stub), port=port, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def reset(self) -> Stub:
        """The stub as new, for the next test."""
        self.stub.__dict__.update(Stub().__dict__)
        return self.stub

    def close(self) -> None:
        """End the server; raises RuntimeError when it does not end within ten seconds."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise RuntimeError("the stub server is still running ten seconds after it was told to end")


if __name__ == "__main__":
    server = StubServer(int(sys.argv[1]) if len(sys.argv) > 1 else 8123)
    print(server.url)
    threading.Event().wait()
