"""Hostile text wherever the page shows some: nothing of it becomes an element, and no script could make it one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.web.conftest import ask
from tests.web.stub_server import Stub, StubServer
from tests.web.test_markdown import PAYLOADS

HOSTILE = "<img src=x onerror=window.hit=1><svg onload=window.hit=1><script>window.hit=1</script>"


def assert_nothing_ran(page: Page) -> None:
    assert page.evaluate("window.hit") is None
    for tag in ("img", "script:not([src='web/main.js'])", "iframe", "object", "embed", "style", "form:not(#composer)"):
        assert page.locator(f"main {tag}, nav {tag}, #announcer {tag}").count() == 0, tag


def test_titles_questions_and_answers_are_text(open_page: Callable[..., Page], stub: Stub) -> None:
    id = stub.seed(1, HOSTILE, HOSTILE, *PAYLOADS)
    page = open_page()
    page.goto(page.url.partition("#")[0] + f"#{id}")
    expect(page.locator(".question .bubble").first).to_contain_text("onerror=window.hit=1")
    expect(page.locator("#title")).to_contain_text("<script>")
    expect(page.locator("#list")).to_contain_text("<script>")
    assert "<script>" in page.title()
    assert_nothing_ran(page)
    page.locator("#list .entry").first.hover()
    page.locator("#list .entry button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("onerror=window.hit=1")
    assert_nothing_ran(page)


def test_the_servers_reasons_are_text(page: Page, stub: Stub) -> None:
    stub.failure = HOSTILE
    ask(page, HOSTILE)
    expect(page.locator(".failure")).to_contain_text("onerror=window.hit=1")
    stub.refusal = (429, HOSTILE)
    ask(page, "again")
    expect(page.locator(".note.problem")).to_contain_text("onerror=window.hit=1")
    assert_nothing_ran(page)


def test_what_the_browser_kept_and_the_address_says_is_text(page: Page) -> None:
    for number, kept in enumerate((HOSTILE, "[]", "{}", "null", "[null, 5]", json.dumps([{"text": 5}]))):
        page.evaluate(
            "([id, kept]) => localStorage.setItem('parley.unlisted.' + id, kept)", [f"{HOSTILE}{number}", kept]
        )
    page.goto(page.url.partition("#")[0] + "#<img src=x onerror=window.hit=1>")
    page.reload()
    expect(page.locator("#field")).to_be_visible()
    assert_nothing_ran(page)


SINKS = [
    "document.body.innerHTML = '<b>x</b>'",
    "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
    "new DOMParser().parseFromString('<b>x</b>', 'text/html')",
    "document.createElement('script').src = 'https://evil.example/x.js'",
    "trustedTypes.createPolicy('own', {createHTML: (text) => text})",
]


def test_no_script_of_the_page_could_make_markup_or_script_of_text(chromium: Browser, server: StubServer) -> None:
    page = chromium.new_page()  # of its own: what is refused is an error on the console
    page.goto(server.url)
    for sink in SINKS:
        with pytest.raises(Error, match=r"TypeError|Trusted|disallowed"):
            page.evaluate(f"() => {{ {sink} }}")
    page.close()
