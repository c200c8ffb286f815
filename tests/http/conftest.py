"""The HTTP edge over the stand-ins: real requests, real clients, a model that the test holds in its hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from scripts.local.stand_in.endpoint import echo
from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring


class HeldModel:
    """Echoes; between `hold` and `release` it keeps callers waiting. `fail` makes it raise, `usage` is what it says it
    used.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self.fail = False
        self.usage: dict[str, int] | None = None
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if not self._free.wait(30):
            raise TimeoutError
        if self.fail:
            raise RuntimeError("no")
        answer = echo(request)
        return answer if self.usage is None else {**answer, "usage": self.usage}

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()


@pytest.fixture
def model() -> Iterator[HeldModel]:
    held = HeldModel()
    yield held
    held.release()


@pytest.fixture
def parts(model: HeldModel) -> StandInWiring:
    return StandInWiring(model)


@pytest.fixture
def url(parts: StandInWiring, model: HeldModel) -> Iterator[str]:
    with StandInRuntime(parts) as runtime:
        yield runtime.url
        model.release()


@pytest.fixture
def client(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="key-a", max_retries=0, timeout=20)


@pytest.fixture
def other(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="key-b", max_retries=0, timeout=20)


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as made:
        yield made
