"""What lm-eval's task takes of a set: it sends one message, so conversations of several stay out."""

from __future__ import annotations

from typing import Any


def single(documents: Any) -> Any:
    """The items of a `datasets.Dataset` that are one question after the system message."""
    return documents.filter(lambda item: [message["role"] for message in item["messages"]] == ["system", "user"])
