"""The platforms' APIs as the tests need them: served on loopback, recording every call, answering as they are told.

They check what the real ones check (token, form of the body, markup, length), so that a message they take is one that
the platform would take. Used by the channels' own tests and by the end-to-end tests; knows nothing of Parley.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in: header names in lower case, `body` the JSON object or form, `at` monotonic seconds."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer: a JSON document or raw bytes; `drop` closes the connection without a word instead."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False

    @property
    def body(self) -> bytes:
        """What goes over the wire."""
        return self.raw if self.raw is not None else json.dumps(self.document).encode()


class Platform:
    """An API on loopback. `with` starts and ends it; `script` lines up answers, after which it answers on its own."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._calls: list[Call] = []
        self._script: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in order."""
        with self._changed:
            return list(self._calls)

    def script(self, *answers: Answer) -> None:
        """Answer the next calls with these, one each."""
        with self._changed:
            self._script.extend(answers)

    def wait_for_calls(self, count: int, seconds: float = 10.0) -> list[Call]:
        """All calls, once there are at least `count`. Raises TimeoutError after `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._calls) >= count, seconds):
                raise TimeoutError(f"{len(self._calls)} calls within {seconds} s, not {count}")
            return list(self._calls)

    def answer(self, call: Call) -> Answer:
        """The answer to a call for which none is scripted."""
        raise NotImplementedError

    def take(self, path: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Record a call and decide its answer; calls are seen in the order in which they are answered."""
        call = Call(path, headers, _read(raw, headers), time.monotonic())
        with self._changed:
            answer = self._script.popleft() if self._script else self.answer(call)
            self._calls.append(call)
            self._changed.notify_all()
        return answer

    def _handler(platform) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # kept alive, as the real ones are
            wbufsize = -1  # head and body leave as one: in two, the second waits 40 ms for the first's delayed ACK

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = platform.take(self.path, headers, raw)
                if answer.drop:
                    self.close_connection = True
                    return
                body = answer.body
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Tests read `calls`; standard error stays quiet."""

        return Handler


def _read(raw: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    if "json" in headers.get("content-type", ""):
        document = json.loads(raw)
        return document if isinstance(document, dict) else {}
    return dict(parse_qsl(raw.decode()))


class SlackApi(Platform):
    """Slack's Web API: `chat.postMessage`, and `auth.test` for whoever asks."""

    @property
    def url(self) -> str:
        """What goes into `api_url`."""
        return f"{self.address}/api"

    def answer(self, call: Call) -> Answer:
        """As docs.slack.dev says of chat.postMessage: status 200 always, what is wrong in `error`."""
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(document={"ok": False, "error": "invalid_auth"})
        if call.path == "/api/auth.test":
            return Answer(document={"ok": True, "user_id": "U0BOT", "team_id": "T1"})
        if call.path != "/api/chat.postMessage":
            return Answer(document={"ok": False, "error": "unknown_method"})
        if not call.body.get("channel"):
            return Answer(document={"ok": False, "error": "channel_not_found"})
        if not call.body.get("text"):
            return Answer(document={"ok": False, "error": "no_text"})
        ts = f"1700000000.{len(self._calls):06}"
        return Answer(document={"ok": True, "channel": call.body["channel"], "ts": ts, "message": {"ts": ts}})


class TelegramApi(Platform):
    """Telegram's Bot API: `sendMessage`."""

    @property
    def url(self) -> str:
        """What goes into `api_url`."""
        return self.address

    def answer(self, call: Call) -> Answer:
        """As core.telegram.org/bots/api says of sendMessage, its errors in the Bot API server's words."""
        if call.path != f"/bot{self.token}/sendMessage":
            return telegram_error(401 if call.path.startswith("/bot") else 404, "Unauthorized")
        if not isinstance(call.body.get("chat_id"), int):
            return telegram_error(400, "Bad Request: chat not found")
        visible = text = str(call.body.get("text", ""))
        if call.body.get("parse_mode") == "HTML":
            try:
                visible = visible_text(text)
            except ValueError as error:
                return telegram_error(400, f"Bad Request: can't parse entities: {error}")
        if not visible.strip():
            return telegram_error(400, "Bad Request: message text is empty")
        if len(visible.encode("utf-16-le")) // 2 > 4096:
            return telegram_error(400, "Bad Request: message is too long")
        message = {"message_id": len(self._calls) + 1, "chat": {"id": call.body["chat_id"]}, "text": visible}
        return Answer(document={"ok": True, "result": message})


def telegram_error(status: int, description: str, parameters: Mapping[str, Any] | None = None) -> Answer:
    """An error in the Bot API's form."""
    document: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters is not None:
        document["parameters"] = dict(parameters)
    return Answer(status, document)


def visible_text(html: str) -> str:
    """What is left of a message when Telegram has parsed its HTML. Raises ValueError where Telegram would refuse it."""
    reader = _TelegramReader()
    reader.feed(html)
    reader.close()
    if reader.open:
        raise ValueError(f'Can\'t find end tag corresponding to start tag "{reader.open[-1]}"')
    return "".join(reader.text)


class _TelegramReader(HTMLParser):
    """Knows the tags of parse_mode HTML and how they may nest."""

    TAGS = frozenset({"b", "i", "s", "a", "code", "pre", "blockquote"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.TAGS:
            raise ValueError(f'Unsupported start tag "{tag}"')
        if "code" in self.open or ("pre" in self.open and tag != "code") or (tag == "blockquote" and tag in self.open):
            raise ValueError(f'"{tag}" may not stand within {self.open}')
        allowed = {"a": ["href"], "code": ["class"] if self.open[-1:] == ["pre"] else []}.get(tag, [])
        if any(name not in allowed for name, _ in attrs) or (tag == "a" and not dict(attrs).get("href")):
            raise ValueError(f'attributes {attrs} of "{tag}"')
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise ValueError(f'Unsupported start tag "{tag}/"')

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f'Unexpected end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        if "<" in data or "&" in data:
            raise ValueError("a raw < or &")
        self.text.append(data)

    def handle_entityref(self, name: str) -> None:
        entities = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
        if name not in entities:
            raise ValueError(f"entity {name}")
        self.text.append(entities[name])

    def handle_comment(self, data: str) -> None:
        raise ValueError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise ValueError("a declaration")

    def unknown_decl(self, data: str) -> None:
        raise ValueError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise ValueError("a processing instruction")
