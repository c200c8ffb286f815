"""What a history raises when a promise of the design does not hold in it."""

from __future__ import annotations


class Broken(Exception):
    """A promise that was not kept: its name in the design, and what was seen instead."""

    def __init__(self, promise: str, seen: str) -> None:
        super().__init__(f"{promise}: {seen}")
        self.promise = promise
