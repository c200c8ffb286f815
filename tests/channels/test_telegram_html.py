"""Standard Markdown in Telegram's HTML, which a reader of its own judges as Telegram would."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.channels.telegram_html import to_html, to_plain
from tests.channels.markdown_scraps import MARKDOWN_SCRAPS
from tests.channels.platforms import visible_text


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**b** *i* ~~s~~ `c`", "<b>b</b> <i>i</i> <s>s</s> <code>c</code>"),
        ("***both***", "<i><b>both</b></i>"),
        ("这是**粗体**文字", "这是<b>粗体</b>文字"),
        ("# Title *x*", "<b>Title <i>x</i></b>"),
        ("- a\n  - b\n1. c", "• a\n  • b\n1. c"),
        ("> a\n> b\n\nc", "<blockquote>a\nb</blockquote>\n\nc"),
        ("> a\n>> b", "<blockquote>a\nb</blockquote>"),
        ("> a\n> ```\n> x\n> ```\n> b", "<blockquote>a</blockquote>\n<pre>x</pre>\n<blockquote>b</blockquote>"),
        ('a & b < c > d "e"', 'a &amp; b &lt; c &gt; d "e"'),
        ('[l](https://x.y/?a="&b)', '<a href="https://x.y/?a=&quot;&amp;b">l</a>'),
        ("[`c` **b**](https://x.y)", '<a href="https://x.y">c b</a>'),
        ("[x](tg://user?id=1)", "x (tg://user?id=1)"),
        ("[mail](mailto:a@b.c) <mailto:a@b.c>", "mail (mailto:a@b.c) a@b.c"),
        ("```py\na < b\n  **c**\n```", '<pre><code class="language-py">a &lt; b\n  **c**</code></pre>'),
        ("```\nx\n```\ny", "<pre>x</pre>\ny"),
        ('```"><script>\nx\n```', "<pre>x</pre>"),
        ("```c++ title=x\nx\n```", '<pre><code class="language-c++">x</code></pre>'),
        ("| a |\n|---|\n| 1 |", "<pre>| a |\n|---|\n| 1 |</pre>"),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert to_html(markdown).html == html


SPACE = "\u200b"  # of no width: Telegram sees no name behind it


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("ask @alice_b", f"ask @{SPACE}alice_b"),
        ("@everyone, (@alice)", f"@{SPACE}everyone, (@{SPACE}alice)"),
        ("**@alice**", f"<b>@{SPACE}alice</b>"),
        ("[@alice](https://x.y)", f'<a href="https://x.y">@{SPACE}alice</a>'),
        ("问@alice一下", f"问@{SPACE}alice一下"),
        ("mail a@b.example", "mail a@b.example"),
        ("@**alice**", f"@{SPACE}<b>alice</b>"),
        ("@a*lic*e", f"@{SPACE}a<i>lic</i>e"),
        ("`@property` 3 @ 4", "<code>@property</code> 3 @ 4"),
        ("```\n@property\n```", "<pre>@property</pre>"),
    ],
)
def test_a_model_cannot_ping(markdown: str, html: str) -> None:
    assert to_html(markdown).html == html
    if "`" not in markdown:
        assert ("@" + SPACE in to_plain(markdown)) == ("@" + SPACE in html)


@settings(deadline=None)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=40).map("".join))
def test_telegram_can_parse_whatever_is_written_and_sees_what_we_count(text: str) -> None:
    made = to_html(text)
    made.html.encode()
    assert visible_text(made.html) == made.visible


def test_plain_text_keeps_its_markdown_while_it_fits() -> None:
    assert to_plain("**a** [l](https://x.y)") == "**a** [l](https://x.y)"
    assert to_plain(f"**a** [l](https://x.y/{'x' * 5000})") == "a l"
