"""One run of the deployed functions over a `World`: people write, queues deliver, the model answers, time passes.

Everything happens in one order, the same in each run, up to the call at which something goes wrong.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import visitors
from parley.ports import WebhookRequest
from scripts.local.event_pump import failed_message_ids, scheduled_event, sqs_record
from scripts.local.function_settings import REST_API
from scripts.local.gateway import RouteTable, proxy_event
from scripts.local.http_server import HttpRequest
from scripts.local.stand_in.sqs import PumpQueue
from tests.channels.webhook_requests import slack_event, slack_request, telegram_request, telegram_update
from tests.chaos.functions import Answer, Function, Rehearsal
from tests.chaos.model import REGION
from tests.chaos.world import API_KEY, SIGNING_KEY, World

SOURCES = {"Inbox": "think", "Replies": "reply", "Outbox": "deliver"}

STEP_SECONDS = 30.0
"""How far the clock goes when nothing moves: less than any visibility timeout."""

TRIES = 4
"""How often a platform, or a client, sends what was not acknowledged."""


PAGE_CONVERSATION = "0123abcd-0000-4000-8000-000000000001"

DIED: Answer = ("died", None)


class Stuck(Exception):
    """Something does not come to its end; the text says what."""


class System:
    """Drives the functions. `said` holds, by conversation, the texts that were acknowledged, in order."""

    def __init__(self, world: World, start: Callable[[str], Function | Rehearsal] = Function) -> None:
        self.world = world
        self._start = start
        self.model = world.cloud.model
        self.said: dict[str, list[str]] = {}
        self.complaints: list[str] = []
        """What its users found wrong."""
        self.sweeps_needed = 0
        self._functions: dict[str, Function | Rehearsal] = {}
        self._waits = False
        self._cookie = visitors.new_cookie(SIGNING_KEY.encode(), secure=False)
        self._visitor = visitors.read(SIGNING_KEY.encode(), self._cookie)
        self._app = importlib.import_module("app").app
        self._routes = RouteTable(self._app.routes)

    # -- what people do

    def slack(self, text: str, thread: str = "1.0") -> None:
        """A message in a Slack thread."""
        said = self.said.setdefault(f"slack:T1:C1/{thread}", [])
        number = f"2.{sum(map(len, self.said.values())):06}"
        event = slack_event({"text": text, "ts": number, "thread_ts": thread})
        self._webhook("slack", lambda: slack_request(event, at=self.world.now))
        said.append(text)

    def telegram(self, text: str, chat: int = 1111111) -> None:
        """A message in a chat on Telegram."""
        said = self.said.setdefault(f"telegram:4242:{chat}", [])
        update = telegram_update({"text": text, "chat": {"id": chat, "type": "private"}}, update_id=len(said) + 1)
        self._webhook("telegram", lambda: telegram_request(update))
        said.append(text)

    def ask(self, text: str, **changes: Any) -> str:
        """A request of the HTTP API, in conversation c1 unless `changes` say otherwise; comes back with its id."""
        asked = {"input": text, "conversation": "c1", "background": True, **changes}
        response = self.api("POST", "/v1/responses", asked, {"Idempotency-Key": text})
        branch = hashlib.sha256(text.encode()).hexdigest()[:24]
        thread = f"c_{asked['conversation']}" if asked["conversation"] else f"t_{branch}"
        self.said.setdefault(f"api:local:{thread}", []).append(text)
        return str(response["id"])

    def page(self, text: str) -> None:
        """A visitor writes on the web page, in its one conversation."""
        said = self.said.setdefault(f"web:{self._visitor}:{PAGE_CONVERSATION}", [])
        message = {"text": text, "client_id": f"{len(said):08}-0000-4000-8000-000000000000"}
        self._visit("POST", f"/web/conversations/{PAGE_CONVERSATION}/messages", message)
        said.append(text)

    def look(self) -> None:
        """The visitor looks at its conversation, whose last message must be an answer."""
        shown = json.loads(self._visit("GET", f"/web/conversations/{PAGE_CONVERSATION}"))
        if shown["messages"][-1]["role"] != "assistant":
            self.complaints.append("the page shows no answer")

    def fetch(self, id: str, *statuses: str) -> None:
        """The caller fetches its response, which must have come to one of these ends."""
        status = self.api("GET", f"/v1/responses/{id}")["status"]
        if status not in statuses:
            self.complaints.append(f"the caller sees {status}, not {' or '.join(statuses)}")

    def delete(self, id: str) -> None:
        """The caller has its response deleted. Where the answer to that was lost, it is told that there is none."""
        path, key = f"/v1/responses/{id}", {"Authorization": f"Bearer {API_KEY}"}
        self._insist(lambda: self._http("DELETE", path, b"", key), but=404)

    def api(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The document that an API client gets, which sends again what was not answered."""
        content = json.dumps(body).encode() if body is not None else b""
        given = {"Authorization": f"Bearer {API_KEY}", **(headers or {})}
        document: dict[str, Any] = json.loads(self._insist(lambda: self._http(method, path, content, given)))
        return document

    def _visit(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
        headers = {"Cookie": self._cookie.partition(";")[0], "X-Parley": "1"}
        content = json.dumps(body).encode() if body is not None else b""
        return self._insist(lambda: self._http(method, path, content, headers))

    def _webhook(self, channel: str, make: Callable[[], WebhookRequest]) -> None:
        def post() -> tuple[int, str]:
            request = make()
            return self._http("POST", f"/webhooks/{channel}/default", request.body, request.headers)

        self._insist(post)

    def _insist(self, request: Callable[[], tuple[int, str]], but: int = 0) -> str:
        """The body of the first 2xx, or of the status `but`. Raises Stuck where none comes, or a refusal."""
        for _ in range(TRIES):
            status, body = request()
            if status < 300 or status == but:
                return body
            if status < 500:
                raise Stuck(f"refused with {status}: {body[:200]}")
            self.world.now += STEP_SECONDS
        raise Stuck(f"not acknowledged in {TRIES} tries: {status} {body[:200]}")

    # -- what the cloud does

    def work(self, queue: str, count: int = 10) -> int:
        """Hand what is in a queue (`Inbox`, `Replies`, `Outbox`) to its function; how many records there were."""
        sqs, url = self.world.cloud.sqs, self.world.cloud.queue(queue)
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count).get("Messages", [])
        if not found:
            return 0
        source = PumpQueue(sqs, url, REGION)
        ids = [record["MessageId"] for record in found]
        kind, answer = self._invoke(SOURCES[queue], {"Records": [sqs_record(record, source) for record in found]})
        failed = failed_message_ids(answer, ids) if kind == "returned" else set(ids)
        source.delete([record["ReceiptHandle"] for record in found if record["MessageId"] not in failed])
        return len(found)

    def sweep(self) -> None:
        """The schedule's minute; a sweep that fails is not repeated."""
        self._invoke("sweep", scheduled_event(REGION))

    def everything_moves(self, *, model: bool = True) -> bool:
        """The model ends what it was asked, queues are worked, until nothing moves; whether anything did."""
        moved = False
        while True:
            handled = sum(self.work(queue) for queue in SOURCES)
            if not handled and not (model and self.model.end()):
                return moved
            moved = True

    def pass_time(self, seconds: float) -> None:
        """The clock moves."""
        self.world.now += seconds

    def settle(self) -> None:
        """Let time pass until nothing is left to do. Raises Stuck when that does not happen."""
        for _ in range(20):
            self._run_dry()
            deadlines = self._deadlines()
            if not deadlines:
                return
            self.world.now = max(self.world.now, min(deadlines)) + 1
            self.sweeps_needed += 1
            self.sweep()
        raise Stuck("a turn stays open for ever")

    def ends(self, conversation: str) -> list[str]:
        """The states of a conversation's turns, in order."""
        turns = [item for item in self.world.cloud.items() if item["pk"]["S"] == f"CONV#{conversation}"]
        return [str(i["status"]["S"]) for i in turns if i["sk"]["S"].startswith("TURN#")]

    def acted(self, name: str) -> int:
        """How often a call was acted on."""
        return sum(call.acted for call in self.world.proxy.calls if call.name == name)

    def end(self) -> None:
        """End all processes."""
        for function in self._functions.values():
            function.kill()

    def _run_dry(self) -> None:
        """No sweep: what queues bring again is enough."""
        for _ in range(2_000):
            self.everything_moves()
            if not any(self.world.cloud.sqs.size(queue) for queue in self.world.cloud.queues(dead=False)):
                return
            self.world.now += STEP_SECONDS
        raise Stuck("the queues do not run dry")

    def _deadlines(self) -> list[float]:
        return [float(item["deadline"]["N"]) for item in self.world.cloud.items() if "open" in item]

    # -- functions

    def _http(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and body; 502 or 504 as API Gateway says when the function has not answered."""
        path, _, query = target.partition("?")
        match = self._routes.match(path)
        assert match is not None, path
        given = [("Content-Type", "application/json"), *headers.items()]
        request = HttpRequest(method, target, given, body, "127.0.0.1")
        event = proxy_event(request, method, path, query, match, set(self._app.api.binary_types))
        kind, answer = self._invoke(REST_API, event)
        return (answer["statusCode"], answer["body"]) if kind == "returned" else (502, kind)

    def _invoke(self, name: str, event: dict[str, Any]) -> tuple[str, Any]:
        """`returned` and what the handler returned, `raised` and its traceback, or `died`."""
        function = self._functions.get(name)
        if function is None or not function.alive:
            function = self._functions[name] = self._start(name)
        function.begin(event, self.world.now)
        while True:
            self.world.proxy.serve(function.has_said, [function.pipe], name, function)
            kind, value = function.answer() if function.alive else DIED
            if kind != "slept":
                self.world.proxy.invocation_ended(name)
                return kind, value
            self._sleep(name, value)
            function.go_on(value, self.world.now)

    def _sleep(self, name: str, seconds: Any) -> None:
        """Time passes; while somebody waits at the API, the rest of the system works on."""
        self.world.now += seconds
        if name == REST_API and not self._waits:
            self._waits = True
            self.everything_moves()
            self._waits = False
