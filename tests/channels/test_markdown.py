"""Where Markdown is cut, and that cutting loses nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from parley.channels.characters import is_boundary, utf16_units
from parley.channels.markdown import NOTHING, pieces, split
from parley.channels.slack_mrkdwn import PIECE_CHARACTERS, to_mrkdwn
from parley.channels.telegram_html import PIECE_UNITS, to_html
from tests.channels.markdown_scraps import MARKDOWN_SCRAPS


def without_space(text: str) -> str:
    return "".join(text.split())


def is_within(needle: str, hay: str) -> bool:
    """Whether all of `needle` is found in `hay`, in order, perhaps with more between."""
    rest = iter(hay)
    return all(character in rest for character in needle)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 10, ["short"]),
        ("one two.\n\nthree four.\nfive", 22, ["one two.", "three four.\nfive"]),
        ("one two three\nfour five six", 20, ["one two three", "four five six"]),
        ("One two. Three four! Five six?", 20, ["One two. Three four!", "Five six?"]),
        ("今天天气很好。我们去公园吧！你来吗？", 15, ["今天天气很好。我们去公园吧！", "你来吗？"]),
        ("他说：“走吧。”然后就走了很远很远", 10, ["他说：“走吧。”", "然后就走了很远很远"]),
        ("价格是三点五元，数量是一百个", 10, ["价格是三点五元，", "数量是一百个"]),
        ("Pi is 3.14159 and that is it", 12, ["Pi is", "3.14159 and", "that is it"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a\n\n\n\nb", 3, ["a", "b"]),
        ("- one\n  - two\n  - three", 14, ["- one\n  - two", "  - three"]),
        (" \n\t\n ", 10, []),
        ("", 10, []),
    ],
)
def test_text_is_cut_where_a_reader_would(text: str, limit: int, expected: list[str]) -> None:
    assert split(text, limit, len) == expected


def test_a_coarse_place_that_would_leave_a_piece_almost_empty_is_passed_over() -> None:
    text = "Yes.\n\n" + "word " * 40
    first, *_ = split(text, 100, len)
    assert len(first) > 90


@pytest.mark.parametrize("whole", ["[a long label](https://example.org/x)", "`some code here`", "**very bold words**"])
def test_links_code_and_emphasis_are_not_cut_while_there_is_a_choice(whole: str) -> None:
    for before in range(40):
        text = "x " * before + whole + " y" * 30
        assert sum(whole in piece for piece in split(text, 45, len)) == 1


def test_code_that_fits_the_next_piece_goes_there_whole() -> None:
    code = "```py\n" + "x = 1\n\n" * 8 + "```"
    assert split("Here it is, as you asked:\n\n" + code, 75, len) == ["Here it is, as you asked:", code]


def test_code_that_is_cut_is_closed_and_reopened_with_its_info() -> None:
    text = "Look:\n```py title\n" + "".join(f"line {n}\n" for n in range(10)) + "```\nDone."
    assert split(text, 60, len) == [
        "Look:\n```py title\nline 0\nline 1\nline 2\nline 3\nline 4\n```",
        "```py title\nline 5\nline 6\nline 7\nline 8\nline 9\n```\nDone.",
    ]


def test_indentation_in_code_survives_a_cut() -> None:
    text = "```\n" + "".join(f"{' ' * (n % 5)}line {n}\n" for n in range(40)) + "```"
    code = "".join(piece.removeprefix("```\n").removesuffix("```") for piece in split(text, 50, len))
    assert f"```\n{code}```" == text


def test_quoted_code_is_reopened_within_its_quote() -> None:
    text = "> ```sh\n" + "".join(f"> line {n}\n" for n in range(12)) + "> ```"
    for piece in split(text, 60, len):
        assert piece.startswith("> ```sh\n> line")
        assert piece.endswith("\n> ```")


@pytest.mark.parametrize("info", ["x" * 500, ""])
@pytest.mark.parametrize("marker", ["```", "`" * 300])
def test_absurd_fences_do_not_stop_the_splitting(marker: str, info: str) -> None:
    text = f"{marker}{info}\n" + "code " * 100 + f"\n{marker}"
    found = split(text, 60, len)
    assert is_within(without_space(text), without_space("".join(found)))
    assert all(len(piece) <= 60 for piece in found)


@settings(deadline=None)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=60).map("".join), limit=st.integers(40, 120))
def test_nothing_but_space_is_lost_and_every_piece_fits(text: str, limit: int) -> None:
    found = split(text, limit, len)
    assert all(len(piece) <= limit for piece in found)
    assert all(piece.strip() for piece in found)
    assert is_within(without_space(text), without_space("".join(found)))


@settings(deadline=None)
@given(
    text=st.lists(MARKDOWN_SCRAPS.filter(lambda scrap: "`" not in scrap and "~" not in scrap), max_size=60).map("".join)
)
def test_without_code_the_pieces_make_up_the_text(text: str) -> None:
    assert without_space("".join(split(text, 30, len))) == without_space(text)


@settings(deadline=None)
@given(text=st.text(), limit=st.integers(1, 8))
def test_any_text_and_any_limit_come_to_an_end(text: str, limit: int) -> None:
    found = split(text, limit, len)
    assert is_within(without_space(text), without_space("".join(found)))


CODE_LINES = st.text(st.sampled_from("ab \t中#*.{}"), max_size=30)
BLOCKS = st.tuples(
    st.sampled_from(["py", "", "sh title"]), st.lists(CODE_LINES, max_size=12).map(lambda lines: ["x", *lines])
)
PROSE = st.text(st.sampled_from("ab 中。.\n"), min_size=1, max_size=60)


@settings(deadline=None)
@given(parts=st.lists(PROSE | BLOCKS, max_size=6), limit=st.integers(40, 120))
def test_code_is_never_cut_open(parts: list[str | tuple[str, list[str]]], limit: int) -> None:
    text = "\n".join(part if isinstance(part, str) else "\n".join((f"```{part[0]}", *part[1], "```")) for part in parts)
    code, infos = [], set()
    for piece in split(text, limit, len):
        for token in MarkdownIt("commonmark").parse(piece):
            if token.type == "fence":
                code.append(token.content)
                infos.add(token.info.strip())
                assert token.content.strip(), "a block without code is left behind by a cut"
            else:
                assert "```" not in token.content
        assert piece.count("```") % 2 == 0
    written = [part for part in parts if not isinstance(part, str)]
    assert without_space("".join(code)) == without_space("".join("".join(lines) for _, lines in written))
    assert infos <= {info for info, _ in written}


@settings(deadline=None)
@given(
    text=st.lists(st.sampled_from(["👩\u200d💻", "👍🏽", "🇩🇪", "é", "한", "中", "\ud83d\ude00"]), min_size=1).map(
        "".join
    )
)
def test_no_cut_goes_through_a_character(text: str) -> None:
    at = 0
    for piece in split(text, 9, utf16_units):
        assert text.startswith(piece, at)
        at += len(piece)
        assert is_boundary(text, at)
        assert utf16_units(piece) <= 9
    assert at == len(text)


@settings(deadline=None, max_examples=40)
@given(text=st.lists(MARKDOWN_SCRAPS, max_size=80).map(lambda scraps: "".join(scraps) * 40))
def test_pieces_fit_as_the_platforms_count(text: str) -> None:
    assert all(len(to_mrkdwn(p)) <= 300 for p in split(text, 300, lambda piece: len(to_mrkdwn(piece))))
    assert all(
        utf16_units(to_html(p).visible) <= 300 for p in split(text, 300, lambda p: utf16_units(to_html(p).visible))
    )


@pytest.mark.parametrize("text", ["", " \n", "```\n```", "```py\n\n```"])
def test_what_shows_nothing_is_sent_as_an_ellipsis(text: str) -> None:
    assert pieces(text, 100, len) == [NOTHING]


@pytest.mark.parametrize(
    "scrap", ["word ", "字", "**a** ", "[a](https://x.y) ", "* ", "`", "a" * 500, "```\n", "> ", "\n", "&"]
)
def test_a_long_answer_is_cut_in_good_time(scrap: str) -> None:
    text = scrap * (12_000 // len(scrap))
    began = time.process_time()
    split(text, PIECE_CHARACTERS, lambda piece: len(to_mrkdwn(piece)))
    split(text, PIECE_UNITS, lambda piece: utf16_units(to_html(piece).visible))
    assert time.process_time() - began < 15
