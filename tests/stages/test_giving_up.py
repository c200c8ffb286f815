"""What fails however often it is tried ends visibly: a failed turn, a notice, one letter; and the next is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from parley.domain.turn import Ask, ModelReply, TurnStatus
from parley.envelopes import read_failed, read_inbox
from parley.errors import UnreadableRecord
from parley.stages.giving_up import give_up_delivery, give_up_message, give_up_result
from parley.stages.overdue_turns import STUCK_SECONDS
from tests.stages.world import PATIENCE, World

CONVERSATION = "slack:T1:C1/1.0"
NOTICE = "Sorry, I could not answer that. Please try again in a moment."


@pytest.fixture
def world() -> World:
    made = World()
    made.platform.piece_characters = 1000
    return made


def texts(world: World) -> list[str]:
    return [piece for _, piece in world.platform.sent]


def letters(world: World, queue: str = "inbox-dead.fifo") -> list[dict[str, Any]]:
    return world.take_all(queue)


def reason(letter: dict[str, Any]) -> str:
    return str(letter["MessageAttributes"]["reason"]["StringValue"])


def give_up(world: World, queue: str, stage: Callable[..., None], error: str = "ValueError") -> None:
    """The queue's next record has failed at its last try."""
    (record,) = world.sqs.receive_message(QueueUrl=queue)["Messages"]
    stage(record["MessageId"], record["Body"], error, world.now, world)
    world.sqs.delete_message(QueueUrl=queue, ReceiptHandle=record["ReceiptHandle"])


def stranded(world: World) -> dict[str, Any]:
    """The record of a message that is stored and never asked of the model, with another message waiting behind it."""
    world.say("e1", "one")
    world.die_at = (len(world.steps) + 2, "after")  # load, commit
    world.pump("inbox.fifo")
    world.pass_time(61)
    (record,) = world.take_all("inbox.fifo")
    world.say("e2", "two")
    world.pump("inbox.fifo")
    return record


def status(world: World, number: int, conversation: str = CONVERSATION) -> TurnStatus:
    turn = world.table.turn(conversation, number)
    assert turn is not None
    return turn.status


def test_a_turn_that_the_model_fails_for_good_leaves_one_letter_without_its_text(world: World) -> None:
    world.say("e1", "a secret")
    world.pump("inbox.fifo")
    world.model.finish(world.model.asked[-1][0], ModelReply(error="client error (400)", permanent=True))
    world.settle()
    (letter,) = letters(world)
    failed = read_failed(letter["Body"])
    assert failed is not None
    assert (failed.conversation, failed.turn, failed.upto) == (CONVERSATION, 1, 1)
    assert reason(letter) == "client error (400)"
    assert "a secret" not in letter["Body"]
    assert texts(world) == [NOTICE]


def test_a_run_that_dies_before_it_ends_the_turn_leaves_no_second_letter(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(world.model.asked[-1][0], ModelReply(error="client error (400)", permanent=True))
    world.die_at = (len(world.steps) + 3, "after")  # read, load, bury: the letter is there, the turn goes on
    world.pump("replies")
    assert (world.death, status(world, 1)) == ("after inbox.bury", TurnStatus.THINKING)
    world.settle()
    assert status(world, 1) is TurnStatus.FAILED
    assert len(letters(world)) == 1


def test_a_turn_that_rests_for_the_budget_leaves_no_letter(world: World) -> None:
    world.guard.close(world.now + 10_000)
    world.say("e1", "hello")
    world.settle()
    assert status(world, 1) is TurnStatus.FAILED
    assert letters(world) == [], "its owner set the limit, and was told when it was reached"


def test_a_message_that_was_never_stored_becomes_a_failed_turn(world: World) -> None:
    world.say("e1", "hello")
    give_up(world, "inbox.fifo", give_up_message)
    world.pump("outbox.fifo")
    assert texts(world) == [NOTICE]
    assert status(world, 1) is TurnStatus.FAILED
    assert [m.text for m in world.table.load(CONVERSATION, 5)[1]] == ["hello"], "it is kept"
    (letter,) = letters(world)
    assert read_failed(letter["Body"]) is not None
    world.say("e2", "and now?")
    world.settle()
    assert texts(world) == [NOTICE, "answer to turn 2"]


def test_a_message_that_was_stored_and_whose_call_never_worked_fails_its_turn(world: World) -> None:
    world.say("e1", "hello")
    world.die_at = (len(world.steps) + 2, "after")  # load, commit
    world.pump("inbox.fifo")
    world.pass_time(61)
    give_up(world, "inbox.fifo", give_up_message)
    world.pump("outbox.fifo")
    assert (texts(world), status(world, 1)) == ([NOTICE], TurnStatus.FAILED)
    assert len(letters(world)) == 1


def test_a_message_that_waits_for_another_turn_is_stored_and_answered_with_it(world: World) -> None:
    world.say("e1", "one")
    world.pump("inbox.fifo")
    world.say("e2", "two")
    give_up(world, "inbox.fifo", give_up_message)
    world.settle()
    assert texts(world) == ["answer to turn 1", "answer to turn 2"]
    assert letters(world) == []


def test_what_waits_behind_a_turn_that_is_given_up_becomes_the_next_one(world: World) -> None:
    record = stranded(world)
    give_up_message(record["MessageId"], record["Body"], "ValueError", world.now, world)
    world.settle()
    assert texts(world) == [NOTICE, "answer to turn 2"]


def test_a_fault_that_meets_the_next_turn_as_well_costs_each_turn_one_letter_and_one_notice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stranded(world)
    with monkeypatch.context() as broken:
        broken.setattr(world.model, "ask", lambda *_: 1 / 0)
        # the next turn is open, and its call as hopeless: the record comes again
        with pytest.raises(ZeroDivisionError):
            give_up_message(record["MessageId"], record["Body"], "ValueError", world.now, world)
        give_up_message(record["MessageId"], record["Body"], "ValueError", world.now, world)
    world.pump("outbox.fifo", 10)
    assert texts(world) == [NOTICE, NOTICE]
    assert [read_failed(letter["Body"]).turn for letter in letters(world)] == [1, 2]  # type: ignore[union-attr]


def test_where_nothing_can_be_stored_the_record_is_the_letter_and_the_user_is_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = world.say("e1", "hello")
    with monkeypatch.context() as broken:
        broken.setattr(world.table, "find", lambda conversation: 1 / 0)
        give_up(world, "inbox.fifo", give_up_message)
    assert texts(world) == [NOTICE]
    (letter,) = letters(world)
    assert read_inbox(letter["Body"]) == incoming
    assert reason(letter) == "ValueError"
    world.front.put(incoming)  # its replay, once the table is well
    world.pass_time(301)
    world.front.put(incoming)
    world.settle()
    assert texts(world) == [NOTICE, "answer to turn 1"]


def test_a_record_that_nobody_can_read_is_kept_as_it_is_and_frees_its_conversation(world: World) -> None:
    world.sqs.send_message(QueueUrl="inbox.fifo", MessageBody="no json", MessageGroupId="g", MessageDeduplicationId="d")
    give_up(world, "inbox.fifo", give_up_message, "UnreadableRecord")
    (letter,) = letters(world)
    assert (letter["Body"], reason(letter)) == ("no json", "UnreadableRecord")


def test_a_result_that_cannot_be_taken_counts_as_a_failed_attempt(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    for attempt in range(PATIENCE.attempts):
        assert len(world.model.asked) == attempt + 1
        world.model.finish(world.model.asked[-1][0], ModelReply(text="poison"))
        give_up(world, "replies", give_up_result)
    world.pump("outbox.fifo")
    assert (texts(world), status(world, 1)) == ([NOTICE], TurnStatus.FAILED)
    assert len(letters(world)) == 1


def test_an_answer_that_cannot_be_sent_is_buried_and_the_next_one_goes_out(world: World) -> None:
    for event in ("e1", "e2"):
        world.say(event, event)
        world.pump("inbox.fifo")
        world.answer_all()
        world.pump("replies")
    give_up(world, "outbox.fifo", give_up_delivery)
    world.settle()
    assert texts(world) == ["answer to turn 2"]
    assert status(world, 1) is TurnStatus.UNDELIVERABLE
    (letter,) = letters(world, "outbox-dead.fifo")
    assert reason(letter) == "ValueError"


def test_an_unreadable_record_of_the_outbox_is_kept_as_it_is(world: World) -> None:
    world.sqs.send_message(
        QueueUrl="outbox.fifo", MessageBody="no json", MessageGroupId="g", MessageDeduplicationId="d"
    )
    give_up(world, "outbox.fifo", give_up_delivery)
    assert [letter["Body"] for letter in letters(world, "outbox-dead.fifo")] == ["no json"]


def test_a_result_in_the_bucket_that_cannot_be_read_is_as_good_as_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(ask: Ask) -> ModelReply | None:
        raise UnreadableRecord("the bucket's key is gone")

    monkeypatch.setattr(world.model, "result", unreadable)
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    for _ in range(PATIENCE.attempts):
        world.pass_time(PATIENCE.answer + 1)
        world.sweep()
    world.pump("outbox.fifo")
    assert (texts(world), status(world, 1)) == ([NOTICE], TurnStatus.FAILED)


def test_a_turn_that_no_sweep_can_end_fails_at_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(world.model.asked[-1][0], ModelReply(text="poison"), notify=False)
    world.pass_time(PATIENCE.answer + 1)
    with monkeypatch.context() as broken:
        broken.setattr("parley.stages.overdue_turns.take_result", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.sweep()
        assert status(world, 1) is TurnStatus.THINKING
        world.pass_time(STUCK_SECONDS)
        world.sweep()
    world.pump("outbox.fifo")
    assert (texts(world), status(world, 1)) == ([NOTICE], TurnStatus.FAILED)
    assert len(letters(world)) == 1
    world.say("e2", "and now?")
    world.settle()
    assert texts(world)[-1] == "answer to turn 2"
