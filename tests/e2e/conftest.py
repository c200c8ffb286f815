"""`scripts/run`, started once as a person would start it, with Slack and Telegram on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
from openai import OpenAI
from slack_sdk.signature import SignatureVerifier

from tests.channels.platforms import SlackApi, TelegramApi

ROOT = Path(__file__).parents[2]
SLACK_SECRET = "e2e-signing-secret"
TELEGRAM_TOKEN, TELEGRAM_SECRET = "4242:e2e-token", "e2e-secret"
START_SECONDS = 180


@dataclass
class Running:
    """One run: where it listens, and where its parts do."""

    process: subprocess.Popen[str]
    url: str
    data: Path

    @property
    def addresses(self) -> dict[str, str]:
        """Each part's address."""
        found: dict[str, str] = json.loads((self.data / "addresses.json").read_text())
        return found

    def client(self, key: str = "e2e-key") -> OpenAI:
        """The official client, pointed at it."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; comes back with its exit status."""
        self.process.send_signal(how)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


def start(data: Path, environment: dict[str, str] | None = None, *arguments: str) -> Running:
    """Run `scripts/run` and wait for its ready line."""
    ours = ("AWS_", "PARLEY_", "SLACK_", "TELEGRAM_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = subprocess.Popen(
        [str(ROOT / "scripts/run"), "--port", "0", "--data", str(data), *arguments],
        env={**kept, "PARLEY_API_KEY": "e2e-key", **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = threading.Timer(START_SECONDS, process.kill)
    limit.start()
    line = process.stdout.readline() if process.stdout else ""
    limit.cancel()
    assert line.startswith("ready http://127.0.0.1:"), "scripts/run did not print its ready line"
    return Running(process, line.split()[1], data)


def mention(system: Running, text: str, ts: str, thread: str = "55.1") -> None:
    """Somebody mentions the bot on Slack: a signed webhook, which must be taken."""
    inner = {"type": "app_mention", "channel": "C9", "user": "U1", "text": f"<@U0BOT> {text}", "ts": ts}
    inner["thread_ts"] = thread
    raw = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": ts, "event": inner}).encode()
    stamp = str(int(time.time()))
    signature = SignatureVerifier(SLACK_SECRET).generate_signature(timestamp=stamp, body=raw) or ""
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature, "Content-Type": "application/json"}
    assert httpx.post(f"{system.url}/webhooks/slack/default", content=raw, headers=headers).status_code == 200


@pytest.fixture(scope="session")
def slack() -> Iterator[SlackApi]:
    with SlackApi("xoxb-e2e") as api:
        yield api


@pytest.fixture(scope="session")
def telegram() -> Iterator[TelegramApi]:
    with TelegramApi(TELEGRAM_TOKEN) as api:
        yield api


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, slack: SlackApi, telegram: TelegramApi) -> Iterator[Running]:
    channels = {
        "SLACK_SIGNING_SECRET": SLACK_SECRET, "SLACK_BOT_TOKEN": "xoxb-e2e", "SLACK_API_URL": slack.url,
        "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN, "TELEGRAM_SECRET_TOKEN": TELEGRAM_SECRET,
        "TELEGRAM_API_URL": telegram.address,
    }  # fmt: skip
    running = start(tmp_path_factory.mktemp("data"), channels)
    yield running
    assert running.end() == 0, "SIGTERM ends it cleanly"


@pytest.fixture
def client(system: Running) -> OpenAI:
    return system.client()
