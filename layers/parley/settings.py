"""The only reader of the environment: one typed value, read once where everything is wired.

A dataclass of the standard library, because a Lambda pays for every import at each cold start (pydantic costs 109 ms
there) and these few values need no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parley.errors import Misconfigured


class MissingSetting(Misconfigured):
    """A setting that the deployment must give is not there; the text names it."""


class BadSetting(Misconfigured):
    """A setting that cannot be used; the text names it and what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the deployment's parts are, and its limits. Holds no secret."""

    table: str
    bucket: str
    inbox_url: str
    inbox_dead_letters_url: str
    outbox_url: str
    outbox_dead_letters_url: str
    endpoint: str
    secrets_path: str
    requests_per_minute: int
    """How many messages an API key may send in a minute."""
    caller_tokens_per_day: int
    """How many tokens, read and written, a caller of the API may use in a day; 0 is no limit, as for the next four."""
    caller_turns_at_once: int
    """In how many of its conversations the model may be answering a caller at once."""
    user_requests_per_minute: int
    """How many messages a visitor of the page may send in a minute, and how many turns a channel's user may begin."""
    user_tokens_per_day: int
    """How many tokens such a user may use in a day."""
    user_turns_at_once: int
    """In how many of its conversations the model may be answering such a user at once."""
    wait_seconds: float
    """How long a request without `background` waits: under API Gateway's 29 s."""
    answer_seconds: float
    """How long a model call may take, waking included, before it is tried again or given up."""
    budget_usd: float = 0.0
    """What the model's instances may cost in a month; 0 is no limit."""
    instance_usd: float = 0.0
    """What an instance costs an hour."""
    most_instances: int = 1
    """How many may run at once while the budget lasts."""
    alarms_topic: str = ""
    """Where the owner is told; empty: nowhere."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """The settings in `environment`. Raises MissingSetting or BadSetting."""
        return cls(
            table=_text(environment, "PARLEY_TABLE"),
            bucket=_text(environment, "PARLEY_BUCKET"),
            inbox_url=_text(environment, "PARLEY_INBOX_URL"),
            inbox_dead_letters_url=_text(environment, "PARLEY_INBOX_DEAD_LETTERS_URL"),
            outbox_url=_text(environment, "PARLEY_OUTBOX_URL"),
            outbox_dead_letters_url=_text(environment, "PARLEY_OUTBOX_DEAD_LETTERS_URL"),
            endpoint=_text(environment, "PARLEY_ENDPOINT"),
            secrets_path=_text(environment, "PARLEY_SECRETS_PATH").rstrip("/"),
            requests_per_minute=int(_number(environment, "PARLEY_REQUESTS_PER_MINUTE", 600, 1, 1_000_000)),
            caller_tokens_per_day=int(_number(environment, "PARLEY_CALLER_TOKENS_PER_DAY", 20_000_000, 0, 10**12)),
            caller_turns_at_once=int(_number(environment, "PARLEY_CALLER_TURNS_AT_ONCE", 64, 0, 1000)),
            user_requests_per_minute=int(_number(environment, "PARLEY_USER_REQUESTS_PER_MINUTE", 20, 0, 1_000_000)),
            user_tokens_per_day=int(_number(environment, "PARLEY_USER_TOKENS_PER_DAY", 1_000_000, 0, 10**12)),
            user_turns_at_once=int(_number(environment, "PARLEY_USER_TURNS_AT_ONCE", 4, 0, 1000)),
            wait_seconds=_number(environment, "PARLEY_WAIT_SECONDS", 25, 0, 28),
            answer_seconds=_number(environment, "PARLEY_ANSWER_SECONDS", 1800, 1, 21_600),
            budget_usd=_number(environment, "PARLEY_BUDGET_USD", 0, 0, 10_000_000),
            instance_usd=_number(environment, "PARLEY_INSTANCE_USD", 0, 0, 1_000),
            most_instances=int(_number(environment, "PARLEY_MOST_INSTANCES", 1, 1, 100)),
            alarms_topic=environment.get("PARLEY_ALARMS_TOPIC", "").strip(),
        )


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise MissingSetting(f"{name} is not set: the stack's template gives it to every function")
    return value


def _number(environment: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = environment.get(name, "").strip() or str(default)
    try:
        value = float(text)
    except ValueError:
        raise BadSetting(f"{name} is {text!r}: it must be a number from {least} to {most}") from None
    if not least <= value <= most:
        raise BadSetting(f"{name} is {text}: it must be from {least} to {most}")
    return value
