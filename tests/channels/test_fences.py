"""Where fenced code begins and ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from parley.channels.fences import fences


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```\na\n```", ["a\n"]),
        ("x\n```py\na\n\nb\n```\ny", ["a\n\nb\n"]),
        ("```\n```", [""]),
        ("```\na", ["a"]),
        ("```", [""]),
        ("````\n```\n````", ["```\n"]),
        ("~~~\n```\n~~~", ["```\n"]),
        ("```\na\n~~~\n```", ["a\n~~~\n"]),
        ("``` a`b ```", []),
        ("``\na\n``", []),
        ("  ```\n  a\n  ```  ", ["  a\n"]),
        ("- ```\n  a\n  ```", ["  a\n"]),
        ("> ```\n> a\n> ```", ["> a\n"]),
        ("> ```\n> a\n```py\nb\n```", ["> a\n", "b\n"]),
        ("```\n> ```\na\n```", ["> ```\na\n"]),
    ],
)
def test_code_is_found_between_its_fences(text: str, code: list[str]) -> None:
    assert [text[fence.content : fence.close] for fence in fences(text)] == code


def test_the_lines_that_reopen_and_close_keep_indentation_marker_and_info() -> None:
    (fence,) = fences("1. ````py title\n   a\n   ````")
    assert (fence.opening_line, fence.closing_line) == ("   ````py title\n", "   ````")


LINES = st.sampled_from(["```", "````", "```py", "~~~", "~~~~ x", "a", "", " b", "``", "``` x`"])


@settings(deadline=None)
@given(text=st.lists(LINES, max_size=12).map("\n".join))
def test_another_reader_of_markdown_finds_the_same_code(text: str) -> None:
    theirs = [(t.content, t.info.strip()) for t in MarkdownIt("commonmark").parse(text) if t.type == "fence"]
    ours = [(text[fence.content : fence.close], fence.info) for fence in fences(text)]
    assert [(code.rstrip("\n"), info) for code, info in ours] == [(code.rstrip("\n"), info) for code, info in theirs]
