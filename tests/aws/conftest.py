"""Moto in process, as the contract tests set it up."""

from __future__ import annotations

from tests.contracts.conftest import aws, clock

__all__ = ["aws", "clock"]
