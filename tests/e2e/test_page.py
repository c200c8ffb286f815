"""The page in a real browser, on the real system with the real model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser
from tests.e2e.conftest import Running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as started:
        yield started


@pytest.fixture
def page(chromium: Browser, system: Running) -> Iterator[Page]:
    context = chromium.new_context(base_url=system.url, locale="en-US")
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda entry: problems.append(entry.text) if entry.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto("/")
    yield opened
    context.close()
    # A conversation whose first message is still in the inbox is 404, and the browser notes every 404.
    real = [problem for problem in problems if "Failed to load resource" not in problem]
    assert real == [], "no error and no breach of the content policy on the console"


def ask(page: Page, text: str) -> None:
    box = page.get_by_role("textbox")
    box.fill(text)
    box.press("Enter")


def test_a_question_typed_into_the_page_is_answered_and_outlives_a_reload(page: Page) -> None:
    ask(page, "What can you do?")
    expect(page.locator(".question").last).to_contain_text("What can you do?")
    answer = page.locator(".answer .markdown")
    expect(answer).to_contain_text("Parley", timeout=30_000)
    said = answer.inner_text()
    good = page.get_by_role("button", name="Good answer")
    with page.expect_response("**/feedback"):
        good.click()
    page.reload()
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".answer .markdown")).to_have_text(said)
    expect(page.locator("#list")).to_contain_text("What can you do?")


def test_two_conversations_stay_apart(page: Page) -> None:
    ask(page, "Hello!")
    expect(page.locator(".answer")).to_have_count(1, timeout=30_000)
    page.locator("#new").click()
    ask(page, "你好")
    expect(page.locator(".answer")).to_have_count(1, timeout=30_000)
    expect(page.locator(".question")).to_have_count(1)
    for title in ("Hello!", "你好"):
        expect(page.locator("#list")).to_contain_text(title)
