"""What a caller of the HTTP API asks for: parsed and checked, not yet anywhere. Knows no wire format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parley.domain.message import Said


@dataclass(frozen=True, slots=True)
class Request:
    """A caller's message and wishes.

    `model` names a bot. `preface` is what the caller says was said before; `options` go to the model, `details` come
    back to the caller. `previous` is a response id, `conversation` a name of the caller's own; at most one is given.
    """

    model: str
    text: str
    preface: Sequence[Said] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    previous: str | None = None
    conversation: str | None = None
    background: bool = False
