"""What a person does with the page, one behaviour a test."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.waiting import until
from tests.web.conftest import ask
from tests.web.stub_server import Stub


def test_a_message_is_answered(page: Page) -> None:
    ask(page, "hello")
    expect(page.locator(".question .bubble")).to_have_text("hello")
    expect(page.locator(".answer .markdown")).to_have_text("You said: hello")
    expect(page.locator("#field")).to_be_focused()
    expect(page.locator("#list")).to_contain_text("hello")


def test_the_state_is_shown_while_it_waits(page: Page, stub: Stub) -> None:
    stub.hold = "queued"
    ask(page, "hello")
    for hold, words in (("queued", "Queued"), ("waking", "Waking the model"), ("thinking", "Thinking")):
        stub.hold = hold
        expect(page.locator("#transcript")).to_contain_text(words)
    stub.hold = "done"
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator(".status")).to_have_count(0)


def test_a_longer_wait_for_the_waking_model_says_how_long_that_takes(page: Page, stub: Stub) -> None:
    stub.hold = "waking"
    ask(page, "hello")
    expect(page.locator(".status .hint")).to_be_visible(timeout=15_000)
    expect(page.locator(".status .hint")).to_contain_text("takes about 7 min")


def test_a_message_sent_while_the_model_thinks_is_answered_next(page: Page, stub: Stub) -> None:
    stub.hold = "thinking"
    ask(page, "one")
    expect(page.locator(".status")).to_contain_text("Thinking")
    ask(page, "two")
    stub.hold = "done"
    expect(page.locator(".answer .markdown")).to_have_text(["You said: one", "You said: two"])


def test_conversations_stay_apart_and_outlive_a_reload(page: Page) -> None:
    for text in ("first thing", "second thing"):
        page.locator("#new").click()
        ask(page, text)
        expect(page.locator(".answer .markdown")).to_have_text([f"You said: {text}"])
    page.reload()
    expect(page.locator(".answer .markdown")).to_have_text(["You said: second thing"])
    page.locator("#list").get_by_text("first thing").click()
    expect(page.locator(".answer .markdown")).to_have_text(["You said: first thing"])
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".answer .markdown")).to_have_text(["You said: first thing"])


def test_deleting_asks_first(page: Page, stub: Stub) -> None:
    id = stub.seed(1, "to be deleted", "a", "b")
    page.reload()
    entry = page.locator("#list").get_by_text("to be deleted")
    entry.hover()
    button = page.get_by_role("button", name=re.compile("delete.*to be deleted", re.IGNORECASE))
    button.click()
    page.get_by_role("button", name="Keep it").click()
    assert id in stub.threads
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#list")).not_to_contain_text("to be deleted")
    assert id not in stub.threads


def test_older_messages_are_loaded_when_asked_for(page: Page, stub: Stub) -> None:
    id = stub.seed(1, "long", *[f"text {n}" for n in range(60)])
    page.goto(page.url.partition("#")[0] + f"#{id}")
    expect(page.get_by_text("text 59", exact=True)).to_be_visible()
    expect(page.get_by_text("text 5", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Load earlier messages").click()
    expect(page.get_by_text("text 5", exact=True)).to_have_count(1)


def test_an_answer_can_be_stopped(page: Page, stub: Stub) -> None:
    stub.hold = "thinking"
    ask(page, "hello")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#transcript")).to_contain_text("Stopped.")
    turn = next(iter(stub.threads.values())).turn
    assert turn is not None
    assert (turn["number"], turn["state"]) == (1, "cancelled")


def test_an_answer_is_rated_and_the_rating_outlives_a_reload(page: Page, stub: Stub) -> None:
    ask(page, "hello")
    good, bad = (page.get_by_role("button", name=name) for name in ("Good answer", "Bad answer"))
    for button, pressed in ((good, ("true", "false")), (bad, ("false", "true"))):
        button.click()
        expect(good).to_have_attribute("aria-pressed", pressed[0])
        expect(bad).to_have_attribute("aria-pressed", pressed[1])
    until(lambda: kept(stub) == [None, "down"])
    page.reload()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    bad.focus()
    page.keyboard.press("Space")
    expect(bad).to_have_attribute("aria-pressed", "false")
    expect(bad).to_be_focused()
    until(lambda: kept(stub) == [None, None])


def kept(stub: Stub) -> list[str | None]:
    """The ratings that the server has of the one conversation."""
    (thread,) = stub.threads.values()
    return [message["feedback"] for message in thread.messages]


def test_a_rating_that_is_not_taken_is_shown_as_it_was(page: Page, stub: Stub) -> None:
    ask(page, "hello")
    good = page.get_by_role("button", name="Good answer")
    expect(good).to_have_attribute("aria-pressed", "false")
    stub.is_down = True
    good.click()
    expect(page.locator("#announcer")).to_contain_text("could not be saved")
    expect(good).to_have_attribute("aria-pressed", "false")


def test_a_failed_turn_shows_its_reason(page: Page, stub: Stub) -> None:
    stub.failure = "Sorry, no luck."
    ask(page, "hello")
    expect(page.locator(".failure")).to_contain_text("Sorry, no luck.")


def test_what_was_not_sent_is_kept_and_sent_again_as_the_same_message(page: Page, stub: Stub) -> None:
    stub.refusal = (429, "Slow down.")
    ask(page, "hello")
    expect(page.locator(".note.problem")).to_contain_text("Slow down.")
    stub.refusal = None
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".answer .markdown")).to_have_text("You said: hello")
    assert len({post["client_id"] for post in stub.posts}) == 1


def test_a_server_that_goes_away_is_noticed_and_found_again(page: Page, stub: Stub) -> None:
    stub.hold = "thinking"
    ask(page, "hello")
    expect(page.locator(".status")).to_contain_text("Thinking")
    stub.is_down = True
    expect(page.locator("#banner")).to_be_visible(timeout=15_000)
    stub.is_down, stub.hold = False, "done"
    expect(page.locator(".answer")).to_have_count(1, timeout=15_000)
    expect(page.locator("#banner")).to_be_hidden()


def test_shift_enter_starts_a_line_and_enter_in_a_composition_sends_nothing(page: Page, stub: Stub) -> None:
    field = page.locator("#field")
    field.press_sequentially("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    assert field.input_value() == "one\ntwo"
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    assert field.input_value() == "one\ntwo"
    assert stub.posts == []
    field.press("Enter")
    expect(page.locator(".answer")).to_have_count(1)
    assert stub.posts[0]["text"] == "one\ntwo"


def test_everything_can_be_done_with_the_keyboard(page: Page, stub: Stub) -> None:
    stub.seed(1, "an older one", "a", "b")
    page.reload()
    expect(page.locator("#list")).to_contain_text("an older one")
    expect(page.locator("#field")).to_be_focused()
    reached: set[str] = set()
    for _ in range(15):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert "new" in reached
    assert any("an older one" in name for name in reached)


def test_answers_are_announced_to_screen_readers(page: Page) -> None:
    ask(page, "hello")
    expect(page.locator("[aria-live]").filter(has_text="You said: hello")).to_have_count(1)


@pytest.mark.parametrize("width", [360, 390])
def test_on_a_phone_nothing_is_wider_than_the_screen(open_page: Callable[..., Page], stub: Stub, width: int) -> None:
    stub.answer = lambda text: (
        "word" * 200 + "\n\n```\n" + "code " * 100 + "\n```\n\n| a | b |\n|---|---|\n| " + "c" * 300 + " | d |"
    )
    phone = open_page(viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True)
    ask(phone, "hello")
    expect(phone.locator(".answer")).to_have_count(1)
    assert phone.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("Good answer", "Bad answer"):
        box = phone.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40, "a finger has to meet it"
    assert phone.evaluate("parseFloat(getComputedStyle(document.querySelector('#field')).fontSize)") >= 16
    phone.locator("#open-side").click()
    expect(phone.locator("#new")).to_be_in_viewport()


def test_it_speaks_chinese_to_a_chinese_browser(open_page: Callable[..., Page]) -> None:
    page = open_page(locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", re.compile("^zh"))
    expect(page.locator("#field")).to_have_attribute("placeholder", re.compile("发消息"))
    ask(page, "你好")
    expect(page.get_by_role("button", name="回答得好")).to_have_attribute("aria-pressed", "false")


def test_when_nothing_waits_the_server_is_left_alone(page: Page, stub: Stub) -> None:
    ask(page, "hello")
    expect(page.locator(".answer")).to_have_count(1)

    def quiet() -> bool:
        before = len(stub.calls)
        page.wait_for_function("() => new Promise(done => setTimeout(() => done(true), 1500))")
        return len(stub.calls) == before

    until(quiet)
