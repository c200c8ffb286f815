"""Standard Markdown in Slack's markup, and that nothing in it can ping anybody."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.channels.slack_mrkdwn import to_mrkdwn
from tests.channels.markdown_scraps import MARKDOWN_SCRAPS

SPACE = "\u200b"  # of no width: lets Slack see a mark that touches a word


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**b** *i* ~~s~~ `c`", "*b* _i_ ~s~ `c`"),
        ("***both***", "_*both*_"),
        ("# Title", "*Title*"),
        ("## **Title** with `code` ##", "*Title with `code`*"),
        ("#hashtag", "#hashtag"),
        ("- a\n* b\n+ c\n  - d\n1. e", "• a\n• b\n• c\n  • d\n1. e"),
        ("- [ ] to do\n- [x] done", "☐ to do\n☑ done"),
        ("> a\n> **b**\n>> c\nd", "> a\n> *b*\n> c\nd"),
        ("> # t\n> - x", "> *t*\n> • x"),
        ("a\n\n---\n\nb", "a\n\n——————————\n\nb"),
        ("* * *\nnot lost", "——————————\nnot lost"),
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("[l](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|l>"),
        ("[**l** & m](https://x.y)", "<https://x.y|l &amp; m>"),
        ("[l](https://x.y/a|b>c)", "<https://x.y/a%7Cb%3Ec|l>"),
        ("<https://x.y>", "<https://x.y>"),
        ("[mail](mailto:a@b.c)", "<mailto:a@b.c|mail>"),
        ("![alt](https://x.y/p.png)", "<https://x.y/p.png|alt>"),
        ("two **lines\nof bold**", "two *lines*\n*of bold*"),
        ("**a", "**a"),
        ("&amp;", "&amp;amp;"),
        ("a\r\nb", "a\nb"),
        ("", ""),
    ],
)
def test_markdown_becomes_mrkdwn(markdown: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markdown) == mrkdwn


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("这是**粗体**文字", f"这是{SPACE}*粗体*{SPACE}文字"),
        ("用`ls`看", f"用{SPACE}`ls`{SPACE}看"),
        ("foo**bar**", f"foo{SPACE}*bar*"),
        ("(**a**), **b**.", "(*a*), *b*."),
        ("**注意：** 请", "*注意：* 请"),
    ],
)
def test_marks_that_touch_a_word_are_made_visible_to_slack(markdown: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markdown) == mrkdwn


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("```python\na < b  # **x** [l](u)\n\n    y\n```", "```\na &lt; b  # **x** [l](u)\n\n    y\n```"),
        ("a\n```\nb\n```\nc", "a\n```\nb\n```\nc"),
        ("~~~\nb\n~~~", "```\nb\n```"),
        ("```\nnever closed", "```\nnever closed\n```"),
        ("````\n```\n````", f"```\n``{SPACE}`\n```"),
        ("- item\n  ```sh\n  ls\n    -l\n  ```\n- next", "• item\n```\nls\n  -l\n```\n• next"),
        ("> ```\n> a\n> ```\n> b", "```\na\n```\n> b"),
        ("> ```\n> a\nb", "```\na\n```\nb"),
        ("`a <b> *c* [l](u)`", "`a &lt;b&gt; *c* [l](u)`"),
        ("``a`b``", "a`b"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |\n\nc", "```\n| a | b |\n|---|:-:|\n| 1 | 2 |\n```\n\nc"),
        ("x | y\nno table", "x | y\nno table"),
    ],
)
def test_code_stays_as_it_is(markdown: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markdown) == mrkdwn


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("<!channel> <@U123> <#C1> <!here|x>", "&lt;!channel&gt; &lt;@U123&gt; &lt;#C1&gt; &lt;!here|x&gt;"),
        ("[x](!channel) [y](@U123)", "x (!channel) y (@U123)"),
        ("[x](<!channel>)", "x (!channel)"),
        ("`<!channel>`", "`&lt;!channel&gt;`"),
        ("```\n<!channel>\n```", "```\n&lt;!channel&gt;\n```"),
        ("[<!channel>](https://x.y)", "<https://x.y|&lt;!channel&gt;>"),
        ("[x](javascript:alert)", "x (javascript:alert)"),
    ],
)
def test_a_model_cannot_ping(markdown: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markdown) == mrkdwn


@settings(deadline=None)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=40).map("".join))
def test_whatever_is_written_only_links_stand_in_angle_brackets(text: str) -> None:
    mrkdwn = to_mrkdwn(text)
    mrkdwn.encode()
    lines = [re.sub("^> ?", "", line) for line in mrkdwn.split("\n")]
    outside = re.sub(r"<(?:https?://|mailto:|tel:)[^<>|]*(?:\|[^<>\n]+)?>", "", "\n".join(lines))
    assert "<" not in outside
    assert ">" not in outside
    assert not re.search(r"&(?!amp;|lt;|gt;)", mrkdwn)
