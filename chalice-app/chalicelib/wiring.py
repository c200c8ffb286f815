"""The one place that knows concrete classes. Each part is made when first asked for, so that a function loads its own.

A test or a benchmark puts other parts in place with `use`.
"""

from __future__ import annotations

import importlib
import os
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from parley.aws.clients import client
from parley.aws.telemetry import PowertoolsTelemetry
from parley.channels.http import JsonPoster
from parley.errors import Misconfigured
from parley.settings import Settings

if TYPE_CHECKING:
    from parley.domain.budget import Budget
    from parley.domain.limits import Policy
    from parley.domain.turn import Patience
    from parley.ports import Allowances, Backend, Bots, Callers, Channel, Conversations, Guard, Inbox, Outbox, Secrets

CHANNELS = {"slack": "Slack", "telegram": "Telegram"}
"""Module in `parley.channels` and its class, for each platform."""


class Wiring:
    """`Ports` on AWS, and the few things that only the HTTP edge needs."""

    @cached_property
    def settings(self) -> Settings:
        """The deployment's settings."""
        return Settings.read(os.environ)

    @cached_property
    def telemetry(self) -> PowertoolsTelemetry:
        """Logs and metrics."""
        return PowertoolsTelemetry()

    @cached_property
    def secrets(self) -> Secrets:
        """Credentials."""
        from parley.aws.secrets import SsmSecrets

        return SsmSecrets(client("ssm"), self.settings.secrets_path, time.monotonic)

    @cached_property
    def conversations(self) -> Conversations:
        """The table."""
        from parley.aws.table import Table

        return Table(client("dynamodb"), self.settings.table, time.time, self.policy)

    @cached_property
    def policy(self) -> Policy:
        """What users may take."""
        from parley.domain.limits import Limits, Policy

        its = self.settings
        callers = Limits(0, its.caller_tokens_per_day, its.caller_turns_at_once)  # requests are counted by their keys
        return Policy(callers, Limits(its.user_requests_per_minute, its.user_tokens_per_day, its.user_turns_at_once))

    @cached_property
    def allowances(self) -> Allowances:
        """What is left of it."""
        from parley.aws.allowances import Allowances

        return Allowances(client("dynamodb"), self.settings.table, self.policy)

    @cached_property
    def inbox(self) -> Inbox:
        """The way in."""
        from parley.aws.queues import SqsInbox

        return SqsInbox(client("sqs"), self.settings.inbox_url, self.settings.inbox_dead_letters_url)

    @cached_property
    def outbox(self) -> Outbox:
        """The way out."""
        from parley.aws.queues import SqsOutbox

        return SqsOutbox(client("sqs"), self.settings.outbox_url, self.settings.outbox_dead_letters_url)

    @cached_property
    def backend(self) -> Backend:
        """The model."""
        from parley.backends.sagemaker_async import SagemakerAsync

        settings = self.settings
        return SagemakerAsync(client, settings.endpoint, settings.bucket, time.time, settings.answer_seconds)

    @cached_property
    def bots(self) -> Bots:
        """The personas."""
        from parley.aws.bots import StoredBots

        return StoredBots(self.secrets)

    @cached_property
    def channels(self) -> StoredChannels:
        """The platforms."""
        return StoredChannels(self.secrets)

    @cached_property
    def callers(self) -> Callers:
        """The API's users."""
        from parley.aws.callers import StoredCallers

        return StoredCallers(client("dynamodb"), self.settings.table, self.settings.requests_per_minute)

    @cached_property
    def patience(self) -> Patience:
        """How long to try."""
        from parley.domain.turn import Patience

        return Patience(answer=self.settings.answer_seconds)

    @cached_property
    def budget(self) -> Budget:
        """What the month may cost."""
        from parley.domain.budget import Budget

        return Budget(self.settings.budget_usd, self.settings.instance_usd)

    @cached_property
    def guard(self) -> Guard:
        """What keeps it."""
        from parley.aws.budget import StackGuard

        settings = self.settings
        return StackGuard(
            client, self.secrets, time.time, endpoint=settings.endpoint, table=settings.table,
            secrets_path=settings.secrets_path, most=settings.most_instances, topic=settings.alarms_topic,
            limited=settings.budget_usd > 0,
        )  # fmt: skip

    @property
    def signing_key(self) -> bytes:
        """The deployment's own key, for response ids and visitors' cookies. Raises Misconfigured when it has none."""
        from parley.aws.secrets import texts

        key = texts("signing-key", self.secrets.get("signing-key") or {}).get("key", "")
        if len(key) < 32:
            raise Misconfigured("the secret signing-key is missing or short: scripts/secrets rotate signing-key")
        return key.encode()


class StoredChannels:
    """`Channels` whose credentials are secrets: a channel without them is off."""

    def __init__(self, stored: Secrets) -> None:
        self._secrets = stored
        self._made: dict[tuple[str, str], tuple[Mapping[str, str], Channel]] = {}
        self._http = JsonPoster()

    def get(self, channel: str, bot: str) -> Channel | None:
        """The channel, made anew when its credentials have changed. Raises Misconfigured where one is no text."""
        from parley.aws.bots import NAME
        from parley.aws.secrets import texts

        if channel not in CHANNELS or not NAME.fullmatch(bot):
            return None
        stored = self._secrets.get(f"bots/{bot}/{channel}")
        if stored is None:
            return None
        credentials = texts(f"bots/{bot}/{channel}", stored)
        kept, made = self._made.get((channel, bot), (None, None))
        if made is None or kept != credentials:
            made = self._make(channel)(credentials, bot, self._http, new_trace)
            self._made[channel, bot] = (credentials, made)
        return made

    def _make(self, channel: str) -> Callable[..., Channel]:
        module = importlib.import_module(f"parley.channels.{channel}")
        made: Callable[..., Channel] = getattr(module, CHANNELS[channel])
        return made


def new_trace() -> str:
    """A fresh correlation id: 16 hex digits."""
    return secrets.token_hex(8)


_wiring: Any = Wiring()


def wiring() -> Any:
    """What this process runs on."""
    return _wiring


def use(other: Any) -> None:
    """Run on something else from now on."""
    global _wiring
    _wiring = other
