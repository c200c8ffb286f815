"""The whole system in one process over the stand-ins: deployed handlers, real HTTP and Lambda events, no emulator."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from chalicelib import wiring
from parley.aws.bots import StoredBots
from parley.aws.queues import SqsInbox, SqsOutbox
from parley.aws.telemetry import PowertoolsTelemetry
from parley.backends.sagemaker_async import SagemakerAsync
from parley.domain.budget import Budget
from parley.domain.limits import Policy
from parley.domain.turn import Patience
from parley.errors import TooManyRequests, Unauthorized
from parley.settings import Settings
from scripts.local.event_pump import EventPump, EventSource, batch_sizes
from scripts.local.gateway import BODY_LIMIT, Gateway, refuse
from scripts.local.http_server import HttpServer, bind
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.endpoint import Bucket, Endpoint, Model, echo
from scripts.local.stand_in.sqs import PumpQueue, Sqs
from scripts.local.stand_in.table import MemoryTable

REGION = "us-east-1"
QUEUES = {"think": "inbox.fifo", "reply": "replies", "deliver": "outbox.fifo"}


class FixedSecrets:
    """`Secrets` from a mapping."""

    def __init__(self, stored: Mapping[str, Mapping[str, Any]]) -> None:
        self._stored = stored

    def get(self, name: str) -> Mapping[str, Any] | None:
        """The secret of that name."""
        return self._stored.get(name)


class FixedCallers:
    """`Callers` from a mapping of keys to callers, each with an allowance in all."""

    def __init__(self, callers: Mapping[str, str], allowance: int) -> None:
        self._callers = callers
        self._left = dict.fromkeys(callers.values(), allowance)

    def identify(self, key: str) -> str:
        """The key's caller."""
        if key not in self._callers:
            raise Unauthorized("Incorrect API key provided.")
        return self._callers[key]

    def admit(self, key: str, now: float) -> str:
        """The key's caller, and one less of its allowance."""
        caller = self.identify(key)
        if not self._left[caller]:
            raise TooManyRequests("Rate limit reached.", 1)
        self._left[caller] -= 1
        return caller


class NoGuard:
    """`Guard` of a deployment without a budget, whose one instance never slept: what it is asked for then."""

    def closed(self, now: float) -> bool:
        """Never."""
        return False

    def resting(self) -> bool:
        """Never."""
        return False

    def instances(self) -> int:
        """The one."""
        return 1

    def estimate(self) -> float | None:
        """Nobody knows."""
        return None

    def woke(self, seconds: float, now: float) -> None:
        """It never slept."""


class StandInWiring:
    """What `chalicelib.wiring.Wiring` is, over the stand-ins. `secrets` come on top of a bot and a signing key.

    Without a `policy` nobody has limits, beside each caller's `allowance` of requests.
    """

    def __init__(
        self,
        model: Model = echo,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        callers: Mapping[str, str] | None = None,
        allowance: int = 1_000_000,
        wait_seconds: float = 10.0,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sqs = Sqs(clock)
        for name in ("inbox-dead.fifo", "outbox-dead.fifo", "replies-dead"):
            self.sqs.create(name)
        self.sqs.create("inbox.fifo", 180, 8, "inbox-dead.fifo")
        self.sqs.create("outbox.fifo", 240, 12, "outbox-dead.fifo")
        self.sqs.create("replies", 180, 8, "replies-dead")
        self.bucket = Bucket()
        self.endpoint = Endpoint(model, self.bucket, self.sqs, "replies")
        self.conversations = self.allowances = MemoryTable(clock, policy)
        self.inbox = SqsInbox(self.sqs, "inbox.fifo", "inbox-dead.fifo")
        self.outbox = SqsOutbox(self.sqs, "outbox.fifo", "outbox-dead.fifo")
        self.backend = SagemakerAsync(self._client, "parley", "bucket", clock, 1800)
        profile = {"instructions": "You are Parley.", "settings": {}}
        defaults: dict[str, Mapping[str, Any]] = {"bots/default/profile": profile, "signing-key": {"key": "k" * 32}}
        self.secrets = FixedSecrets({**defaults, **(secrets or {})})
        self.bots = StoredBots(self.secrets)
        self.channels = wiring.StoredChannels(self.secrets)
        self.callers = FixedCallers(callers or {"key-a": "a", "key-b": "b"}, allowance)
        self.patience = Patience()
        self.budget = Budget()
        self.guard = NoGuard()
        self.signing_key = b"k" * 32
        self.settings = settings(wait_seconds)

    @cached_property
    def telemetry(self) -> PowertoolsTelemetry:
        """The real one: what it costs is part of what a handler costs."""
        return PowertoolsTelemetry()

    def _client(self, service: str) -> Any:
        return self.bucket if service == "s3" else self.endpoint


class StandInRuntime:
    """Gateway and event pump over a StandInWiring; use as a context manager. `url` is where HTTP is served."""

    def __init__(self, parts: StandInWiring, pollers: int = 4, port: int = 0) -> None:
        self._parts = parts
        module = importlib.import_module("app")
        wiring.use(parts)
        sizes = batch_sizes(module.app)
        gateway = Gateway(module.app, _contexts("api_handler"))
        self._server = HttpServer(bind(port), gateway.handle, refuse, BODY_LIMIT)
        sources = [
            EventSource(
                PumpQueue(parts.sqs, queue, REGION), getattr(module, function), _contexts(function), pollers,
                sizes[function],
            )
            for function, queue in QUEUES.items()
        ]  # fmt: skip
        self._pump = EventPump(sources)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> StandInRuntime:
        self._server.start()
        self._pump.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(5)
        self._pump.stop(5)
        self._parts.endpoint.stop()
        wiring.use(wiring.Wiring())


def _contexts(function: str) -> Callable[[], LambdaContext]:
    return lambda: LambdaContext(function, 30, 512, REGION)


def settings(wait_seconds: float) -> Settings:
    """A deployment's settings as they are by default, but for how long a caller waits."""
    queues = ("INBOX_URL", "INBOX_DEAD_LETTERS_URL", "OUTBOX_URL", "OUTBOX_DEAD_LETTERS_URL")
    environment = {f"PARLEY_{name}": "stand-in" for name in ("TABLE", "BUCKET", *queues, "ENDPOINT", "SECRETS_PATH")}
    return Settings.read({**environment, "PARLEY_WAIT_SECONDS": str(wait_seconds)})
