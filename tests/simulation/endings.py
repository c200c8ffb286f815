"""How a run of a stage can end, other than well: it dies, or a call of its own fails. Raised by simulated ports."""

from __future__ import annotations


class Died(BaseException):
    """The process is gone: no `except Exception` of the code sees it."""


class Unavailable(Exception):
    """A call failed, before it acted or after: its caller cannot tell."""
