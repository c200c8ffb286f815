"""JSON that a stranger may send: every field of a real document replaced by, or joined with, anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1 << 63, -(1 << 80), 10**400])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud83d", "\u0000", "/start", "<@U0BOT>", "<!channel>", "message", "D1", "im", "1.2"])
)
ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of which some fields, at any depth, hold something else or are missing."""
    result: dict[str, Any] = {}
    for name, value in document.items():
        fate = draw(st.sampled_from(["keep", "keep", "keep", "replace", "drop"]))
        if fate == "replace":
            result[name] = draw(ANYTHING)
        elif fate == "keep":
            result[name] = draw(damaged(value)) if isinstance(value, dict) else value
    return result
