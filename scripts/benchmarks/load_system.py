"""The whole system over the stand-ins as a process of its own, for a load from outside.

Slack's API is at SLACK_API_URL. A second port, `control` in addresses.json, gives out what is stored of conversations
that have come to rest, and removes it: the table is in this process's memory, and must not pass for a leak of it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from chalicelib import wiring
from parley.domain.limits import Policy
from parley.domain.turn import TurnStatus
from scripts.benchmarks.slack_webhooks import SECRET, TOKEN
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind
from scripts.local.process import end_requested
from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring, settings
from scripts.local.stand_in.table import MemoryTable, Shelf

JSON = [("Content-Type", "application/json")]


def answer_all(request: dict[str, Any]) -> dict[str, Any]:
    """A model that says again all that was said since its last answer, so that an answer names its questions."""
    asked: list[str] = []
    for entry in reversed(request["messages"]):
        if entry["role"] != "user":
            break
        asked.append(str(entry["content"]))
    choice = {"index": 0, "message": {"role": "assistant", "content": ", ".join(reversed(asked))}}
    return {"choices": [{**choice, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def stored(shelf: Shelf) -> dict[str, Any] | None:
    """What a conversation holds, in order; None while one of its turns is open."""
    said = [message for _, message in sorted(shelf.messages.items())]
    turns = [turn for _, turn in sorted(shelf.turns.items())]
    if any(turn.deadline is not None for turn in turns):
        return None
    texts = {message.sequence: message.text for message in said}
    return {
        "users": [[message.text, message.turn] for message in said if message.role == "user"],
        "turns": [
            [turn.number, turn.status is TurnStatus.DELIVERED, texts.get(turn.answer or 0, "")] for turn in turns
        ],
    }


def take(table: MemoryTable, beginning: str) -> dict[str, Any]:
    """The conversations whose ids begin so and that rest, removed; and how many still have an open turn."""
    taken: dict[str, Any] = {}
    still = 0
    for id, shelf in table.all().items():
        if not id.startswith(beginning) or shelf.state is None:
            continue
        found = stored(shelf)
        if found is None:
            still += 1
            continue
        taken[id] = found
        table.drop(id)
    return {"taken": taken, "open": still}


def deployed_policy() -> Policy:
    """What a user may take of a deployment whose owner changed nothing."""
    deployed = wiring.Wiring()
    deployed.settings = settings(wait_seconds=0)
    return deployed.policy


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limits", action="store_true", help="limit what a user may take, as a deployment does")
    parser.add_argument("--model-ms", type=float, default=0.0, help="how long the model computes an answer")
    options = parser.parse_args()
    ended = end_requested()
    pause = options.model_ms / 1000

    def model(request: dict[str, Any]) -> dict[str, Any]:
        time.sleep(pause)
        return answer_all(request)

    secret = {"signing_secret": SECRET, "bot_token": TOKEN, "api_url": os.environ["SLACK_API_URL"]}
    policy = deployed_policy() if options.limits else None
    parts = StandInWiring(model if pause else answer_all, secrets={"bots/default/slack": secret}, policy=policy)

    def control(request: HttpRequest) -> HttpResponse:
        body = take(parts.conversations, json.loads(request.body)["beginning"])
        return HttpResponse(200, JSON, json.dumps(body).encode())

    server = HttpServer(bind(0), control, lambda status, text: HttpResponse(status, [], text.encode()), 10_000)
    server.start()
    with StandInRuntime(parts, port=options.port) as runtime:
        addresses = {"control": f"http://127.0.0.1:{server.server_port}"}
        (options.data / "addresses.json").write_text(json.dumps(addresses))
        print(f"ready {runtime.url}", flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the functions' log lines are written, and read by nobody
        ended.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
