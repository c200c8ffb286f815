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
    attributes: nodes.flatMap((node) => node.getAttributeNames()),
    addresses: nodes.map((node) => node.getAttribute('href')).filter(Boolean),
    namespaces: nodes.filter((node) => node.closest('svg.icon') === null).map((node) => node.namespaceURI),
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
    "<math><mtext><table><mglyph><style><img src onerror=window.hit=1></style></mglyph></table></mtext></math>",
    "<svg><use href='data:image/svg+xml,<svg onload=window.hit=1>'/></svg>",
    "<svg><animate xlink:href=#x attributeName=href values=javascript:window.hit=1 /><a id=x>x</a></svg>",
    "<base href='https://evil.example/'><form action='https://evil.example/'><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'><object data=x></object><embed src=x>",
    '```"><img/src/onerror=window.hit=1>\ncode\n```',
    "~~~ javascript:window.hit=1\ncode\n~~~",
    "[x](java&#115;cript:window.hit=1)",
    "[x](&#x6A;avascript:window.hit=1)",
    "[x](javascript\\:window.hit=1)",
    "[x](\u200bjavascript:window.hit=1)",
    "[x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "[x](blob:https://ok.example/1) [x](filesystem:https://ok.example/1) [x](file:///etc/passwd)",
    "[x](view-source:https://ok.example) [x](about:blank) [x](intent://x#Intent;end) [x](ms-word:x)",
    '[x](https://ok.example "" onmouseover=window.hit=1 "")',
    "[<img src=x onerror=window.hit=1>](https://ok.example)",
    '<https://ok.example/"onmouseover=window.hit=1>',
    "<mailto:a@ok.example?body=<script>window.hit=1</script>>",
    "https://ok.example/<script>window.hit=1</script>",
    "- [ ] <input onfocus=window.hit=1 autofocus>",
    "> <script>window.hit=1</script>",
    "# <script>window.hit=1</script>",
    "{{constructor.constructor('window.hit=1')()}} ${window.hit=1}",
    "\u202e<script>window.hit=1</script>\u0000<script\u0000>window.hit=1</script>",
]
HARMLESS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "a", "strong", "em", "del", "code", "pre", "blockquote",
    "table", "thead", "tbody", "tr", "th", "td", "hr", "br", "div", "span", "button", "figure", "figcaption", "svg",
    "path",
}  # fmt: skip
ATTRIBUTES = {
    "aria-hidden", "aria-label", "class", "d", "dir", "href", "rel", "role", "start", "tabindex", "target", "type",
    "viewBox",
}  # fmt: skip
XHTML = "http://www.w3.org/1999/xhtml"


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
    assert set(found["attributes"]) <= ATTRIBUTES
    assert set(found["namespaces"]) <= {XHTML}
    assert all(address.startswith(("https://", "http://", "mailto:")) for address in found["addresses"])


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
