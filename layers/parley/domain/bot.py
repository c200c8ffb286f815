"""A bot: one persona that a deployment serves. Knows nothing of channels or models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Bot:
    """A persona: its name, what it is told to be, and the sampling settings it answers with.

    `settings` are Chat Completions fields (`temperature`, `max_tokens`, ...) that a caller's own wishes override.
    """

    name: str
    instructions: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
