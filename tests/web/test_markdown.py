"""Markdown of a model becomes nodes of the page, and nothing in it becomes script, style or a foreign address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.web.stub_server import StubServer

RENDER = """async (text) => {
  const { markdown } = await import('/web/markdown.js');
  const box = document.createElement('div');
  box.append(markdown(text));
  document.body.append(box);
  const nodes = [...box.querySelectorAll('*')];
  const found = {
    tags: nodes.map((node) => node.tagName.toLowerCase()),
    handlers: nodes.flatMap((node) => node.getAttributeNames()).filter((name) => name.startsWith('on')),
    addresses: ['href', 'src', 'action', 'style'].flatMap((name) => nodes.map((node) => node.getAttribute(name)))
      .filter(Boolean),
    text: box.textContent,
    html: box.innerHTML,
  };
  box.remove();
  return found;
}"""

PAYLOADS = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload=window.hit=1>",
    "[x](javascript:window.hit=1)",
    "[x](JaVaScRiPt:window.hit=1)",
    "[x](java\tscript:window.hit=1)",
    "[x](\x01javascript:window.hit=1)",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](/relative)",
    "![x](https://evil.example/pixel.png)",
    "<javascript:window.hit=1>",
    "[a]: javascript:window.hit=1\n\n[a]",
    "```<script>window.hit=1</script>\n<script>window.hit=1</script>\n```",
    "`<img src=x onerror=window.hit=1>`",
    "| <script>window.hit=1</script> |\n|---|\n| <img onerror=window.hit=1> |",
    '<a href="javascript:window.hit=1">x</a>',
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<style>*{display:none}</style>",
    '[x](https://ok.example" onclick="window.hit=1)',
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "<details ontoggle=window.hit=1 open>",
]
HARMLESS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "a", "strong", "em", "del", "code", "pre", "blockquote",
    "table", "thead", "tbody", "tr", "th", "td", "hr", "br", "div", "span", "button", "figure", "figcaption", "svg",
    "path", "input", "use", "header", "rect", "circle", "line", "polyline",
}  # fmt: skip


@pytest.fixture(scope="module")
def blank(chromium: Browser, server: StubServer) -> Iterator[Page]:
    page = chromium.new_page()
    page.goto(server.url)
    yield page
    assert page.evaluate("window.hit") is None, "nothing that was rendered ran"
    page.close()


def render(page: Page, text: str) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(RENDER, text)
    return found


def assert_harmless(found: dict[str, Any]) -> None:
    assert set(found["tags"]) <= HARMLESS
    assert found["handlers"] == []
    assert all(address.startswith(("https://", "http://", "mailto:", "#")) for address in found["addresses"])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_text(blank: Page, payload: str) -> None:
    assert_harmless(render(blank, payload))


SCRAPS = st.sampled_from(
    [*PAYLOADS, "**", "_", "`", "```", "\n", "\n\n", "- ", "1. ", "> ", "# ", "|", "[", "](", ")", "<", "&#106;"]
)


@given(st.lists(SCRAPS | st.text(max_size=8), max_size=12).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mixture_of_them_is_anything_else(blank: Page, text: str) -> None:
    assert_harmless(render(blank, text.encode(errors="replace").decode()))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# Title", "<h"), ("**b**", "<strong"), ("*i*", "<em"), ("~~s~~", "<del"), ("`c`", "<code"),
        ("- a\n- b", "<ul"), ("1. a\n2. b", "<ol"), ("> q", "<blockquote"), ("```py\nx\n```", "<pre"),
        ("| a |\n|---|\n| b |", "<table"), ("[x](https://ok.example)", 'rel="noopener'),
        ("https://ok.example", "<a "), ("---", "<hr"),
    ],
)  # fmt: skip
def test_markdown_is_shown_as_such(blank: Page, text: str, wanted: str) -> None:
    assert wanted in render(blank, text)["html"]
