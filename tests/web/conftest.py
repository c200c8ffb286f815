"""The page in Chromium over the stub server, with everything on its console that should not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests import browser
from tests.web.stub_server import Stub, StubServer


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server() -> Iterator[StubServer]:
    running = StubServer()
    yield running
    running.close()


@pytest.fixture
def stub(server: StubServer) -> Stub:
    return server.reset()


@pytest.fixture
def open_page(chromium: Browser, server: StubServer, stub: Stub) -> Iterator[Callable[..., Page]]:
    """Opens the page in a browser of its own; at the end its console must hold no error that was not expected."""
    problems: list[str] = []
    contexts: list[Any] = []

    def open(**options: Any) -> Page:
        contexts.append(chromium.new_context(**({"locale": "en-US"} | options)))
        page: Page = contexts[-1].new_page()
        page.on("console", lambda entry: problems.append(entry.text) if entry.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url)
        return page

    yield open
    for context in contexts:
        context.close()
    # A request that failed is on the console too: that is what the tests of failures make on purpose.
    assert [p for p in problems if "Failed to load resource" not in p] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def ask(page: Page, text: str) -> None:
    """Type a message and send it with Enter."""
    page.locator("#field").fill(text)
    page.locator("#field").press("Enter")
