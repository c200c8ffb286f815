"""Bots from SSM Parameter Store: `{path}/bots/{bot}/profile` holds instructions and sampling settings as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from parley.aws.secrets import is_text
from parley.domain.bot import Bot
from parley.errors import Misconfigured
from parley.ports import Secrets

DEFAULT = "default"
PARLEYS_OWN = ("messages", "model", "stream", "n")
"""Fields of a request that are no wish of a persona's: its answer would be read wrongly, or be one to nothing."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class StoredBots:
    """`Bots` whose profiles are read where the secrets are; `names` are those that the deployment serves."""

    def __init__(self, secrets: Secrets, names: tuple[str, ...] = (DEFAULT,)) -> None:
        self._secrets = secrets
        self._names = names

    def get(self, name: str) -> Bot | None:
        """The bot; None when it is not served or has no profile. Raises Misconfigured for a profile of another form."""
        if name not in self._names or not NAME.fullmatch(name):
            return None
        profile: Any = self._secrets.get(f"bots/{name}/profile")
        if profile is None:
            return None
        return _bot(name, profile)

    def names(self) -> list[str]:
        """The bots that are served."""
        return sorted(self._names)


def _bot(name: str, profile: Mapping[str, Any]) -> Bot:
    instructions, settings = profile.get("instructions", ""), profile.get("settings", {})
    where = f"secret bots/{name}/profile"
    if not is_text(instructions):
        raise Misconfigured(f"{where}: 'instructions' must be a text")
    if not isinstance(settings, dict):
        raise Misconfigured(f"{where}: 'settings' must be an object of Chat Completions fields, such as temperature")
    for field in PARLEYS_OWN:
        if field in settings:
            raise Misconfigured(f"{where}: 'settings' must not hold {field!r}, which is not a profile's to set")
    try:
        json.dumps(settings, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # NaN, or half a surrogate pair
        raise Misconfigured(f"{where}: 'settings' holds a number or a text that no request can carry") from None
    return Bot(name, instructions, settings)
