"""Tokens to text: characters whole, stop strings found across tokens, streamed pieces equal to the whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_stream import TextStream

Pieces = list[bytes]


def stream(pieces: Pieces, stops: tuple[str, ...] = (), silent: frozenset[int] = frozenset()) -> tuple[list[str], bool]:
    """What each piece (one token each) gives, and the rest at the end; and whether a stop string was met."""
    reader = TextStream(lambda ids: b"".join(pieces[i] for i in ids).decode(errors="replace"), silent, stops)
    given_out = [reader.push(index) for index in range(len(pieces))]
    return [*given_out, reader.flush()], reader.stopped


def cut(text: str, sizes: list[int]) -> Pieces:
    """A text's bytes in pieces of the given sizes, over and over."""
    raw, pieces, index = text.encode(), [], 0
    while raw:
        size = sizes[index % len(sizes)]
        pieces.append(raw[:size])
        raw, index = raw[size:], index + 1
    return pieces


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=40)


@given(text=TEXT, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_pieces_join_to_the_text_and_no_character_is_cut(text: str, sizes: list[int]) -> None:
    parts, _ = stream(cut(text, sizes))
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)


@settings(max_examples=300)
@given(
    text=st.text("ab你", max_size=30),
    stop=st.text("ab你", min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_text_ends_right_before_the_first_stop_string(text: str, stop: str, sizes: list[int]) -> None:
    parts, stopped = stream(cut(text, sizes), (stop,))
    assert "".join(parts) == text.split(stop)[0]
    assert stopped == (stop in text)


def test_the_earliest_of_several_stop_strings_counts() -> None:
    parts, stopped = stream([b"one two ", b"three"], ("three", "two"))
    assert "".join(parts) == "one "
    assert stopped


def test_an_unfinished_character_at_the_end_is_dropped() -> None:
    parts, _ = stream([b"hello ", "你".encode()[:2]])
    assert "".join(parts) == "hello "


def test_bytes_that_are_no_text_do_not_grow_the_work_without_bound() -> None:
    longest = 0
    pieces = [b"\xc3"] * 500

    def decode(ids: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return b"".join(pieces[i] for i in ids).decode(errors="replace")

    reader = TextStream(decode, frozenset())
    text = "".join(reader.push(i) for i in range(500)) + reader.flush()
    assert longest < 100
    assert len(text) >= 490


@pytest.mark.parametrize("text", ["Hello, 你好! How are you?", "a  b\n\nc", "émoji 🎉🎉 end"])
def test_a_real_tokenizer_gives_its_text_back(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    reader = TextStream(lambda some: str(tokenizer.decode(some)), frozenset({end}))
    assert "".join(reader.push(i) for i in [*ids, end]) + reader.flush() == text
