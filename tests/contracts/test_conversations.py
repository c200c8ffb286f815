"""What the stages rely on in `Conversations`, held against DynamoDB's adapter and the stand-in alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parley.domain import conversation as rules
from parley.domain.conversation import Change, Conversation
from parley.domain.message import Incoming, Said
from parley.domain.turn import ModelReply, Patience, Turn, TurnStatus
from parley.errors import AlreadySeen, Conflict
from tests.contracts.conftest import Clock

ID = "slack:T1:C1/1.0"
PATIENCE = Patience()


def incoming(event: str, text: str = "hello", conversation: str = ID, **more: Any) -> Incoming:
    fields: dict[str, Any] = {
        "bot": "default",
        "user": "slack:T1:U1",
        "received": 1.5,
        "trace": "t",
        "reply_to": {"channel": "C1"},
    }
    return Incoming(event=event, conversation=conversation, text=text, **(fields | more))


def accept(table: Any, event: str, clock: Clock, record: str = "r", **more: Any) -> Change:
    message = incoming(event, **more)
    conversation, _ = table.load(message.conversation, 5)
    change = rules.accept(conversation, message, record, clock.now, PATIENCE)
    table.commit(change)
    return change


def answered(table: Any, clock: Clock, text: str = "hi", conversation: str = ID) -> Conversation:
    state = table.find(conversation)
    table.commit(
        rules.answer(state, state.turn, 1, ModelReply(text, usage={"prompt_tokens": 3}), "n", clock.now, PATIENCE)
    )
    found: Conversation = table.find(conversation)
    return found


def stored_turn(table: Any, number: int = 1) -> Turn:
    turn: Turn | None = table.turn(ID, number)
    assert turn is not None
    return turn


def test_what_was_committed_is_read_back_as_it_was(table: Any, clock: Clock) -> None:
    change = accept(
        table, "e1", clock, preface=(Said("assistant", "before"),),
        options={"temperature": 0.5, "stop": ["x"], "seed": 7}, details={"metadata": {"a": "b"}, "background": True},
    )  # fmt: skip
    conversation, messages = table.load(ID, 10)
    assert conversation == change.after
    assert messages == list(change.messages)
    assert stored_turn(table) == change.opened
    assert table.mark(ID, "e1") == change.new_mark
    assert table.message(ID, 1) == change.messages[0]


def test_what_is_not_there_is_none(table: Any) -> None:
    assert table.load("slack:T1:none", 5) == (None, [])
    assert table.find("slack:T1:none") is None
    assert table.mark(ID, "e") is None
    assert table.turn(ID, 1) is None
    assert table.message(ID, 1) is None
    assert table.messages(ID, 10, 10) == []


def test_an_event_is_stored_once_and_its_first_mark_is_given_back(table: Any, clock: Clock) -> None:
    first = accept(table, "e1", clock)
    with pytest.raises(AlreadySeen) as seen:
        accept(table, "e1", clock, text="again")
    assert seen.value.mark == first.new_mark
    assert len(table.load(ID, 10)[1]) == 1


def test_a_transaction_sent_again_after_its_answer_was_lost_is_seen_before(table: Any, clock: Clock) -> None:
    change = accept(table, "e1", clock)
    with pytest.raises(AlreadySeen):
        table.commit(change)


def test_a_conversation_that_moved_on_is_a_conflict_and_nothing_is_written(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    stale = table.find(ID)
    answered(table, clock)
    with pytest.raises(Conflict):
        table.commit(rules.answer(stale, 1, 1, ModelReply("other"), "n2", clock.now, PATIENCE))
    with pytest.raises(Conflict):
        table.commit(rules.accept(stale, incoming("e2"), "r2", clock.now, PATIENCE))
    assert [m.text for m in table.load(ID, 10)[1]] == ["hello", "hi"]
    assert table.mark(ID, "e2") is None


def test_two_first_messages_at_once_make_one_conversation(table: Any, clock: Clock) -> None:
    table.commit(rules.accept(None, incoming("e1"), "r1", clock.now, PATIENCE))
    with pytest.raises(Conflict):
        table.commit(rules.accept(None, incoming("e2"), "r2", clock.now, PATIENCE))


def test_load_gives_the_newest_messages_oldest_first(table: Any, clock: Clock) -> None:
    for index in range(12):
        accept(table, f"e{index}", clock, text=f"m{index}")
    conversation, messages = table.load(ID, 3)
    assert conversation.sequence == 12
    assert [m.text for m in messages] == ["m9", "m10", "m11"]
    assert table.load(ID, 0)[1] == []


def test_pages_of_messages_end_where_the_next_began(table: Any, clock: Clock) -> None:
    for index in range(7):
        accept(table, f"e{index}", clock, text=f"m{index}")
    newest = table.messages(ID, 8, 3)
    older = table.messages(ID, newest[0].sequence, 3)
    oldest = table.messages(ID, older[0].sequence, 3)
    assert [m.text for page in (oldest, older, newest) for m in page] == [f"m{i}" for i in range(7)]
    assert table.messages(ID, 1, 3) == []


def test_an_answer_ends_the_turn_and_keeps_what_it_knew(table: Any, clock: Clock) -> None:
    opened = accept(table, "e1", clock).opened
    answered(table, clock)
    turn = stored_turn(table)
    assert opened is not None
    assert turn == replace(
        opened, status=TurnStatus.ANSWERED, answer=2, usage={"prompt_tokens": 3}, finish="stop", ended=clock.now,
        deadline=clock.now + PATIENCE.delivery,
    )  # fmt: skip


def test_turns_are_listed_backwards_from_the_one_asked_for(table: Any, clock: Clock) -> None:
    for index in range(4):
        accept(table, f"e{index}", clock)
        answered(table, clock)
    assert [turn.number for turn in table.turns(ID, 3, 2)] == [3, 2]
    assert [turn.number for turn in table.turns(ID, 1, 5)] == [1]
    assert table.turns(ID, 0, 5) == []
    assert table.turns("slack:T1:none", 3, 2) == []


def test_an_open_turn_is_overdue_after_its_deadline_and_not_before(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    deadline = stored_turn(table).deadline
    assert deadline is not None
    assert table.overdue(deadline - 1, 10) == []
    assert table.overdue(deadline + 1, 10) == [(ID, 1)]


def test_a_delivered_turn_is_never_overdue(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    table.sent(stored_turn(table), 1, True, clock.now)
    assert table.overdue(float(10**12), 10) == []
    assert stored_turn(table).status is TurnStatus.DELIVERED


def test_pieces_are_counted_upwards_only(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    turn = stored_turn(table)
    table.sent(turn, 1, False, clock.now)
    assert stored_turn(table).sent == 1
    assert stored_turn(table).owes_delivery
    with pytest.raises(Conflict):
        table.sent(turn, 1, False, clock.now)


def test_an_undeliverable_turn_owes_nothing(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    table.undeliverable(stored_turn(table), "channel_not_found", clock.now)
    turn = stored_turn(table)
    assert (turn.status, turn.error, turn.deadline) == (TurnStatus.UNDELIVERABLE, "channel_not_found", None)


def test_what_was_delivered_meanwhile_is_not_given_up(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    turn = stored_turn(table)
    table.sent(turn, 1, True, clock.now)
    with pytest.raises(Conflict):
        table.undeliverable(turn, "too late", clock.now)
    assert (stored_turn(table).status, stored_turn(table).error) == (TurnStatus.DELIVERED, None)


def test_a_failed_turn_whose_notice_is_refused_keeps_why_it_failed(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    state = table.find(ID)
    table.commit(rules.fail(state, "the model broke", "Sorry.", "r2", clock.now, PATIENCE))
    table.undeliverable(stored_turn(table), "channel_not_found", clock.now)
    turn = stored_turn(table)
    assert (turn.status, turn.error, turn.deadline) == (TurnStatus.FAILED, "the model broke", None)


def test_a_postponed_delivery_has_its_new_deadline_unless_it_ended_meanwhile(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    turn = stored_turn(table)
    table.postpone(turn, clock.now + 5000)
    assert (stored_turn(table).deadline, stored_turn(table).tries) == (clock.now + 5000, 1)
    table.sent(turn, 1, True, clock.now)
    with pytest.raises(Conflict):
        table.postpone(turn, clock.now + 9000)


def test_an_answer_that_was_given_up_is_owed_again_once_its_owner_says_so(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    answered(table, clock)
    assert not table.reopen(ID, 1, clock.now + 9), "it is on its way"
    table.undeliverable(stored_turn(table), "channel_not_found", clock.now)
    assert table.reopen(ID, 1, clock.now + 9)
    turn = stored_turn(table)
    assert (turn.status, turn.deadline, turn.tries, turn.owes_delivery) == (
        TurnStatus.ANSWERED, clock.now + 9, 1, True,
    )  # fmt: skip
    assert not table.reopen(ID, 1, clock.now + 9)
    assert not table.reopen(ID, 2, clock.now + 9)


def test_a_mark_is_forgotten_after_its_time_though_the_item_is_still_there(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    clock.now += 31 * 24 * 3600
    assert table.mark(ID, "e1") is None


def test_a_users_conversations_come_newest_first(table: Any, clock: Clock) -> None:
    for thread in ("a", "b", "c"):
        clock.now += 10
        accept(table, f"e-{thread}", clock, conversation=f"web:v:{thread}", user="web:v", text=f"title {thread}")
    accept(table, "e-x", clock, conversation="web:w:x", user="web:w")
    found = table.of_user("web:v", 2)
    assert [(c.id, c.title, c.status) for c in found] == [
        ("web:v:c", "title c", "thinking"), ("web:v:b", "title b", "thinking"),
    ]  # fmt: skip


def test_forgetting_a_conversation_leaves_no_text_and_knows_its_events(table: Any, clock: Clock) -> None:
    for index in range(30):
        accept(table, f"e{index}", clock, options={"instructions": "secret"}, details={"metadata": {"a": "secret"}})
    table.forget(ID)
    assert table.load(ID, 5) == (None, [])
    assert table.messages(ID, 100, 100) == []
    assert table.turn(ID, 1) is None
    assert table.overdue(float(10**12), 10) == []
    with pytest.raises(AlreadySeen):
        accept(table, "e3", clock)
    for mark in (table.mark(ID, f"e{index}") for index in range(30)):
        assert mark.deleted
        assert {**mark.options, **mark.details} == {}


def test_what_was_decided_before_a_conversation_was_forgotten_is_not_written_into_the_one_that_follows(
    table: Any, clock: Clock
) -> None:
    accept(table, "e1", clock, text="secret")
    late = rules.answer(table.find(ID), 1, 1, ModelReply("of the secret"), "n", clock.now, PATIENCE)
    table.forget(ID)
    clock.now += 1
    follows = accept(table, "e2", clock, text="another thing")
    assert follows.after.version == late.before, "its version alone does not tell them apart"
    with pytest.raises(Conflict):
        table.commit(late)
    assert table.load(ID, 5) == (follows.after, list(follows.messages))


def test_forgetting_messages_of_a_conversation_that_is_gone_leaves_no_trace_of_one(table: Any, clock: Clock) -> None:
    mark = accept(table, "e1", clock).new_mark
    assert mark is not None
    table.forget(ID)
    with pytest.raises(Conflict):
        table.forget_messages(ID, replace(mark, deleted=True), [1, 2])
    assert table.find(ID) is None


def test_forgetting_messages_takes_the_title_made_of_the_first(table: Any, clock: Clock) -> None:
    mark = accept(table, "e1", clock, text="secret").new_mark
    assert mark is not None
    answered(table, clock)
    table.forget_messages(ID, replace(mark, deleted=True), [1, 2])
    conversation, messages = table.load(ID, 5)
    assert messages == []
    assert conversation.title == ""
    assert table.mark(ID, "e1").deleted


def test_a_rating_is_kept_beside_its_answer_and_the_last_one_counts(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    before = answered(table, clock)
    for rating in ("up", "up", "down", None, None, "down"):
        table.rate(ID, 2, rating)
        assert table.message(ID, 2).feedback == rating
    conversation, messages = table.load(ID, 5)
    assert conversation == before, "the conversation's state and version know nothing of it"
    assert [message.feedback for message in messages] == [None, "down"]
    accept(table, "e2", clock)
    answered(table, clock)
    assert table.message(ID, 2).feedback == "down"


def test_what_is_no_answer_or_was_deleted_is_not_rated(table: Any, clock: Clock) -> None:
    mark = accept(table, "e1", clock).new_mark
    assert mark is not None
    answered(table, clock)
    table.rate(ID, 2, "up")
    for conversation, sequence in ((ID, 1), (ID, 3), (ID, 0), ("slack:T1:none", 2)):
        with pytest.raises(Conflict):
            table.rate(conversation, sequence, "up")
    assert table.message(ID, 1).feedback is None
    table.forget_messages(ID, replace(mark, deleted=True), [1, 2])
    with pytest.raises(Conflict):
        table.rate(ID, 2, "down")
    table.forget(ID)
    for rating in ("down", None):
        with pytest.raises(Conflict):
            table.rate(ID, 2, rating)
    assert table.messages(ID, 5, 5) == []


def test_text_of_any_script_survives(table: Any, clock: Clock) -> None:
    text = "naïve 你好 🧪 \u202eرتل\n\t\\\"'"
    accept(table, "e1", clock, text=text)
    assert table.message(ID, 1).text == text


def test_a_user_is_told_of_the_waking_model_once_and_while_the_turn_waits(table: Any, clock: Clock) -> None:
    accept(table, "e1", clock)
    turn = stored_turn(table)
    assert [table.tell_once(turn), table.tell_once(turn)] == [True, False]
    assert stored_turn(table).told
    answered(table, clock)
    accept(table, "e2", clock)
    waiting = stored_turn(table, 2)
    answered(table, clock)
    assert not table.tell_once(waiting), "it is over"
