"""Processes of the local runtime that end with the test, or with the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.local.processes import LocalProcess


@pytest.fixture
def start() -> Iterator[Callable[..., LocalProcess]]:
    """Starts modules as processes; those still running when the test ends are killed."""
    started: list[LocalProcess] = []

    def start_process(module: str, *arguments: str, **variables: str) -> LocalProcess:
        started.append(LocalProcess(module, *arguments, **variables))
        return started[-1]

    yield start_process
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalProcess]:
    """One emulated cloud for all tests that need no restart; tests use names of their own in it."""
    emulator = LocalProcess("aws_emulator")
    yield emulator
    emulator.kill()
