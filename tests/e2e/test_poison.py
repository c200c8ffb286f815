"""What always fails, over the whole running system, and the owner's own command."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.channels.platforms import Answer, SlackApi
from tests.e2e.conftest import ROOT, Running, mention
from tests.waiting import until

NOTICE = "Sorry, I could not answer that. Please try again in a moment."


def redrive(system: Running, *arguments: str) -> Any:
    """`scripts/redrive --stage local`, as its owner calls it; comes back with what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [str(ROOT / "scripts/redrive"), *arguments, "--stage", "local", "--data", str(system.data), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def texts(slack: SlackApi, thread: str) -> list[str]:
    return [str(call.body["text"]) for call in slack.calls if call.body.get("thread_ts") == thread]


def test_poison_ends_visibly_and_is_replayed(system: Running, slack: SlackApi) -> None:
    # more than the model's window holds: refused for good, told, and the next one is answered
    mention(system, "and so on " * 3_000, "70.1", "70.0")
    assert until(lambda: texts(slack, "70.0"), 60) == [NOTICE]
    mention(system, "hello", "70.2", "70.0")
    until(lambda: len(texts(slack, "70.0")) == 2, 60)
    assert texts(slack, "70.0")[1] != NOTICE
    # a channel that refuses an answer for good, and takes it once that is mended
    slack.script(Answer(200, {"ok": False, "error": "is_archived"}))
    mention(system, "hello", "71.1", "71.0")
    letters = until(lambda: found if len(found := redrive(system, "list")) == 2 else None, 60)
    assert {(letter["queue"], letter["reason"].split(":")[-1].strip()) for letter in letters} >= {
        ("outbox", "is_archived")
    }
    (refused,) = [letter["id"] for letter in letters if letter["queue"] == "outbox"]
    assert redrive(system, "replay", refused) == {"replayed": [refused]}
    until(lambda: len(texts(slack, "71.0")) == 2, 60)
    (left,) = redrive(system, "list")
    assert left["queue"] == "inbox"
