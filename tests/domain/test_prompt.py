"""What the model is told, and what it is not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parley.domain import prompt
from parley.domain.bot import Bot
from parley.domain.message import Message, Said

BOT = Bot("default", "Be kind.", {"temperature": 0.2, "max_tokens": 100})


def message(sequence: int, turn: int, role: str, text: str, **more: Any) -> Message:
    return Message(sequence, turn, role, text, 0.0, **more)


def said(request: dict[str, Any]) -> list[str]:
    return [entry["content"] for entry in request["messages"]]


def test_messages_stand_in_the_order_of_their_turns() -> None:
    stored = [
        message(1, 1, "user", "one"),
        message(2, 2, "user", "two"),
        message(3, 1, "assistant", "answer"),
        message(4, 3, "user", "three"),
    ]
    assert said(prompt.build(BOT, stored, 2)) == ["Be kind.", "one", "answer", "two"]


def test_what_was_taken_back_is_not_told() -> None:
    stored = [message(1, 1, "user", "one"), message(2, 1, "withdrawn", "secret")]
    assert said(prompt.build(BOT, stored, 1)) == ["Be kind.", "one"]


def test_a_callers_wishes_come_before_the_bots_and_count_for_their_own_turn_only() -> None:
    stored = [
        message(1, 1, "user", "one", options={"temperature": 1, "instructions": "Be rude."}),
        message(2, 1, "assistant", "answer"),
        message(3, 2, "user", "two"),
    ]
    first, second = prompt.build(BOT, stored[:1], 1), prompt.build(BOT, stored, 2)
    assert (first["temperature"], first["messages"][0]["content"]) == (1, "Be rude.")
    assert (second["temperature"], second["messages"][0]["content"]) == (0.2, "Be kind.")
    assert second["max_tokens"] == 100


def test_options_that_are_no_sampling_do_not_reach_the_model() -> None:
    stored = [message(1, 1, "user", "one", options={"instructions": "x", "secret": 1})]
    assert set(prompt.build(BOT, stored, 1)) == {"messages", "temperature", "max_tokens"}


def test_a_system_prompt_of_the_caller_takes_the_place_of_the_bots() -> None:
    stored = [message(1, 1, "user", "one", preface=(Said("system", "Speak Latin."), Said("assistant", "Ave.")))]
    assert said(prompt.build(BOT, stored, 1)) == ["Speak Latin.", "Ave.", "one"]


def test_a_bot_without_instructions_has_no_system_prompt() -> None:
    assert said(prompt.build(Bot("default"), [message(1, 1, "user", "one")], 1)) == ["one"]


@given(st.lists(st.text(max_size=50), max_size=20), st.integers(0, 500))
def test_the_newest_tail_within_the_budget_is_kept(texts: list[str], budget: int) -> None:
    entries = [Said("user", text) for text in texts]
    kept = prompt.newest(entries, budget)
    assert kept == entries[len(entries) - len(kept) :]
    size = sum(map(prompt.size, kept))
    assert size <= budget
    assert all(prompt.size(entry) >= len(entry.text.encode(errors="surrogatepass")) for entry in kept)
    if len(kept) < len(entries):
        assert size + prompt.size(entries[-len(kept) - 1]) > budget


def test_the_turns_own_messages_are_kept_however_long_the_history_is() -> None:
    stored = [message(i, i, "user", "x" * 100_000) for i in range(1, 8)] + [message(8, 8, "user", "now")]
    request = prompt.build(BOT, stored, 8)
    assert said(request)[-1] == "now"
    assert sum(map(len, said(request))) <= prompt.HISTORY_BYTES + 100
