"""Bots from SSM Parameter Store: `{path}/bots/{bot}/profile` holds instructions and sampling settings as JSON."""

from __future__ import annotations

import re
from typing import Any

from parley.domain.bot import Bot
from parley.ports import Secrets

DEFAULT = "default"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class StoredBots:
    """`Bots` whose profiles are read where the secrets are; `names` are those that the deployment serves."""

    def __init__(self, secrets: Secrets, names: tuple[str, ...] = (DEFAULT,)) -> None:
        self._secrets = secrets
        self._names = names

    def get(self, name: str) -> Bot | None:
        """The bot; None when it is not served or has no profile."""
        if name not in self._names or not NAME.fullmatch(name):
            return None
        profile: Any = self._secrets.get(f"bots/{name}/profile")
        if profile is None:
            return None
        return Bot(name, profile.get("instructions", ""), profile.get("settings", {}))

    def names(self) -> list[str]:
        """The bots that are served."""
        return sorted(self._names)
