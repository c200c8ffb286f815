"""What counts as one character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.channels.characters import is_boundary, utf16_units, well_formed


@pytest.mark.parametrize(
    "whole", ["é", "👩\u200d💻", "👍🏽", "🇩🇪", "✊️", "한", "न्", "\r\n", "\ud83d\ude00", "z̷̢̛"], ids=ascii
)
def test_what_a_reader_sees_as_one_character_is_not_cut(whole: str) -> None:
    text = f"a{whole}b"
    assert [at for at in range(len(text) + 1) if is_boundary(text, at)] == [0, 1, len(text) - 1, len(text)]


def test_flags_in_a_row_are_cut_between_two_flags() -> None:
    assert [at for at in range(7) if is_boundary("🇩🇪🇫🇷🇨🇳", at)] == [0, 2, 4, 6]


@pytest.mark.parametrize(("text", "units"), [("", 0), ("abc", 3), ("中文", 2), ("😀", 2), ("\ud83d", 1)])
def test_utf16_units_are_counted_as_telegram_counts(text: str, units: int) -> None:
    assert utf16_units(text) == units


@settings(deadline=None)
@given(text=st.text(st.characters() | st.characters(categories=["Cs"])))
def test_a_well_formed_text_can_be_sent_and_sound_text_is_left_alone(text: str) -> None:
    formed = well_formed(text)
    formed.encode("utf-8")
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert formed == text
    assert well_formed(formed) == formed


def test_halves_that_belong_together_become_their_character() -> None:
    assert well_formed("\ud83d\ude00 \ude00") == "😀 \ufffd"
