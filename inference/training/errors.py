"""What can keep a step from its end. Each error is one line that says what is wrong and what to do about it."""

from __future__ import annotations


class StepFailed(Exception):
    """The step cannot be done with what it was given; nothing that the next step would take was written."""


class Refused(Exception):
    """The step could be done, but should not be: a metric fell past its threshold. The text says which, by how much."""
