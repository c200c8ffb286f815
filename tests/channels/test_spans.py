"""How inline Markdown is read; `<b>` and the like stand for marks here, `[label](address)` for links."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from parley.channels.spans import Close, CodeSpan, Link, Mark, Open, Span, plain, spans
from tests.channels.markdown_scraps import MARKDOWN_SCRAPS

TAGS: dict[Mark, str] = {"bold": "b", "italic": "i", "strike": "s"}


def shown(content: list[Span] | tuple[Span, ...]) -> str:
    """Spans as tags, for comparison."""
    parts = []
    for span in content:
        if isinstance(span, Open | Close):
            parts.append(f"<{'/' if isinstance(span, Close) else ''}{TAGS[span.mark]}>")
        elif isinstance(span, Link):
            parts.append(f"[{shown(span.label)}]({span.url})")
        else:
            parts.append(f"<c>{span.text}</c>" if isinstance(span, CodeSpan) else span.text)
    return "".join(parts)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("**a** *b* __c__ _d_ ~~e~~", "<b>a</b> <i>b</i> <b>c</b> <i>d</i> <s>e</s>"),
        ("***a***", "<i><b>a</b></i>"),
        ("**a *b* c**", "<b>a <i>b</i> c</b>"),
        ("*a **b** c*", "<i>a <b>b</b> c</i>"),
        ("**a ~~b~~**", "<b>a <s>b</s></b>"),
        ("*a **b*", "*a *<i>b</i>"),
        ("**a", "**a"),
        ("a ** b", "a ** b"),
        ("snake_case_name", "snake_case_name"),
        ("2*3*4 and 5 * 6 * 7", "2*3*4 and 5 * 6 * 7"),
        ("about ~5 to ~6", "about ~5 to ~6"),
        ("*(a)* x*(a)*", "<i>(a)</i> x*(a)*"),
        ("foo*bar*baz", "foo<i>bar</i>baz"),
        ("**a\nb** c", "<b>a\nb</b> c"),
        (r"\*a\* \_b\_ \\", r"*a* _b_ " + "\\"),
        ("a\\\nb", "a\nb"),
    ],
)
def test_emphasis_is_read_as_commonmark_reads_it(markdown: str, expected: str) -> None:
    assert shown(spans(markdown)) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("这是**粗体**文字", "这是<b>粗体</b>文字"),
        ("**注意：**请看", "<b>注意：</b>请看"),
        ("含**「重点」**内容", "含<b>「重点」</b>内容"),
        ("他说**“好”**。", "他说<b>“好”</b>。"),
    ],
)
def test_emphasis_needs_no_spaces_in_chinese(markdown: str, expected: str) -> None:
    assert shown(spans(markdown)) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("`a*b*c` *d*", "<c>a*b*c</c> <i>d</i>"),
        ("``a`b``", "<c>a`b</c>"),
        ("`` ` ``", "<c>`</c>"),
        ("`a", "`a"),
        ("*a`*`", "*a<c>*</c>"),
        ("`a\nb`", "<c>a b</c>"),
    ],
)
def test_code_is_read_before_anything_else(markdown: str, expected: str) -> None:
    assert shown(spans(markdown)) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](https://x.y)", "[a](https://x.y)"),
        ("[**a** b](https://x.y)", "[<b>a</b> b](https://x.y)"),
        ("**[a](https://x.y)**", "<b>[a](https://x.y)</b>"),
        ('[a](https://x.y "title")', "[a](https://x.y)"),
        ("[a](<https://x.y/a b>)", "[a](https://x.y/a b)"),
        ("[w](https://en.wikipedia.org/wiki/A_(b))", "[w](https://en.wikipedia.org/wiki/A_(b))"),
        ("![picture](https://x.y/p.png)", "[picture](https://x.y/p.png)"),
        ("![](https://x.y/p.png)", "[https://x.y/p.png](https://x.y/p.png)"),
        ("[a [b] c](u)", "[a [b] c](u)"),
        ("[![badge](https://x.y/b.svg) ok](https://x.y)", "[badge ok](https://x.y)"),
        ("[`]`](u)", "[<c>]</c>](u)"),
        ("[a]() [b] (c)", "[a]() [b] (c)"),
        ("<https://x.y/_a_>", "[https://x.y/_a_](https://x.y/_a_)"),
        ("https://x.y/_a_ *b*", "https://x.y/_a_ <i>b</i>"),
        ("**https://x.y**", "<b>https://x.y</b>"),
    ],
)
def test_links_are_read(markdown: str, expected: str) -> None:
    assert shown(spans(markdown)) == expected


LETTERS_AND_MARKS = [
    "*",
    "**",
    "***",
    "_",
    "__",
    "`",
    "``",
    "a",
    "b",
    "x_y",
    " ",
    ".",
    "(",
    ")",
    "\\",
    "[l](u)",
    "[m n](v)",
]


@settings(max_examples=400, deadline=None)
@given(text=st.lists(st.sampled_from(LETTERS_AND_MARKS), max_size=16).map("".join))
def test_ascii_is_read_as_another_reader_of_commonmark_reads_it(text: str) -> None:
    tags = {"<strong>": "<b>", "</strong>": "</b>", "<em>": "<i>", "</em>": "</i>", "<code>": "<c>", "</code>": "</c>"}
    theirs = MarkdownIt("commonmark").renderInline(f"a{text}a")
    for tag, ours in tags.items():
        theirs = theirs.replace(tag, ours)
    theirs = re.sub(r'<a href="([^"]*)">(.*?)</a>', r"[\2](\1)", theirs)
    assert shown(spans(f"a{text}a")) == theirs


@settings(deadline=None)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=40).map("".join))
def test_marks_always_close_in_the_order_in_which_they_opened(text: str) -> None:
    opened: list[str] = []
    for span in spans(text):
        if isinstance(span, Open):
            opened.append(span.mark)
        elif isinstance(span, Close):
            assert opened.pop() == span.mark
    assert not opened


@settings(deadline=None)
@given(text=st.text())
def test_no_letter_or_digit_is_lost(text: str) -> None:
    assert [c for c in plain(spans(text)) if c.isalnum()] == [c for c in text if c.isalnum()]


TIRING = ["*", "**a ", "_a*", "a**b_", "[", "](", "[a](", "`", "`` ` ", "\\", "<http://", "*_~~", "[a](  ", '[a](u "']


def test_time_grows_with_the_length_alone() -> None:
    began = time.process_time()
    for scrap in TIRING:
        spans(scrap * (20_000 // len(scrap)))
    spans("[a](" + " " * 20_000)
    assert time.process_time() - began < 10, "something is quadratic"
