"""The stages end to end over the stand-ins: what each promises, one behaviour a test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parley.domain import conversation as rules
from parley.domain.limits import Limits, Policy
from parley.domain.turn import Ask, ModelReply, Outgoing, TurnStatus
from parley.errors import ChannelRefused, UnreadableRecord
from parley.stages.inbox_to_model import think
from parley.stages.outbox_to_channel import bury
from tests.stages.world import PATIENCE, VISIBILITY, World

CONVERSATION = "slack:T1:C1/1.0"


@pytest.fixture
def world() -> World:
    return World()


def last_ask(world: World) -> Ask:
    return world.model.asked[-1][0]


def texts(world: World) -> list[str]:
    return [piece for _, piece in world.platform.sent]


def test_a_message_is_answered_on_the_channel_it_came_from(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="hi there"))
    world.pump("replies")
    world.pump("outbox.fifo")
    assert world.platform.sent == [(CONVERSATION, "hi there")]
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.DELIVERED
    assert turn.deadline is None


def test_a_one_step_turn_makes_at_most_eight_requests_behind_receive(world: World) -> None:
    world.say("e1", "hello")
    world.settle()
    aws = [call for call in world.steps if not call.startswith("channel.")]
    assert aws == [
        "table.load", "table.commit", "model.ask",
        "model.read", "table.load", "table.commit", "outbox.put",
        "table.turns", "table.sent",
    ]  # fmt: skip
    assert len([call for call in aws if call != "model.read"]) == 8, "model.read only parses the notification"


def test_the_prompt_holds_the_bots_instructions_and_the_earlier_turns(world: World) -> None:
    world.say("e1", "one")
    world.settle()
    world.say("e2", "two")
    world.pump("inbox.fifo")
    said = [(m["role"], m["content"]) for m in world.model.asked[-1][1]["messages"]]
    assert said == [("system", "Be kind."), ("user", "one"), ("assistant", "answer to turn 1"), ("user", "two")]


def test_the_model_is_told_whose_requests_are_whose_and_not_who_they_are(world: World) -> None:
    for event, user in (("e1", "slack:T1:U1"), ("e2", "slack:T1:U1"), ("e3", "slack:T1:U2")):
        world.say(event, "hello", f"slack:T1:{event}", user=user)
        world.pump("inbox.fifo")
    first, again, other = (request["user"] for _, request in world.model.asked)
    assert first == again != other
    assert "U1" not in first


def test_a_message_that_comes_while_the_model_thinks_waits_for_the_next_turn(world: World) -> None:
    for event in ("e1", "e2", "e3"):
        world.say(event, event)
        world.pump("inbox.fifo")
    assert len(world.model.asked) == 1
    world.model.finish(last_ask(world), ModelReply(text="first"))
    world.pump("replies")
    assert len(world.model.asked) == 2
    said = [m["content"] for m in world.model.asked[-1][1]["messages"]]
    assert said == ["Be kind.", "e1", "first", "e2", "e3"]
    world.settle()
    assert texts(world) == ["first", "answer to turn 2"]


@pytest.mark.parametrize("waiting", [1, 45])
def test_a_retry_asks_what_was_asked_before_however_many_messages_wait(world: World, waiting: int) -> None:
    world.say("e1", "the question")
    world.pump("inbox.fifo")
    for index in range(waiting):
        world.say(f"w{index}", f"waiting {index}")
        world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(error="500"))
    world.pump("replies")
    first, second = (request["messages"] for _, request in world.model.asked)
    assert first == second


def test_a_repeated_record_asks_what_its_first_run_was_to_ask(world: World) -> None:
    world.say("e1", "the question")
    world.die_at = (len(world.steps) + 2, "after")  # load, commit: the message is stored and the model not asked
    world.pump("inbox.fifo")
    for index in range(45):
        table, incoming = world.conversations, world.say(f"w{index}", f"waiting {index}")
        table.commit(rules.accept(table.find(CONVERSATION), incoming, f"r{index}", world.now, PATIENCE))
    world.pass_time(VISIBILITY + 1)
    world.pump("inbox.fifo")
    assert [m["content"] for m in world.model.asked[-1][1]["messages"]] == ["Be kind.", "the question"]


def test_a_turn_of_more_messages_than_a_history_holds_them_all(world: World) -> None:
    world.say("e1", "first")
    world.pump("inbox.fifo")
    for index in range(45):
        world.say(f"w{index}", f"waiting {index}")
        world.pump("inbox.fifo")
    for index in range(1, 45):
        world.cancel(event=f"w{index}")
        world.say(f"x{index}", f"waiting longer {index}")
        world.pump("inbox.fifo", 2)
    world.settle()
    said = [m["content"] for m in world.model.asked[-1][1]["messages"]]
    assert said[-45:] == ["waiting 0", *(f"waiting longer {index}" for index in range(1, 45))]


def test_a_result_that_opens_the_next_turn_takes_four_requests(world: World) -> None:
    for event in ("e1", "e2"):
        world.say(event, event)
        world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="first"))
    before = len(world.steps)
    world.pump("replies")
    assert world.steps[before + 1 :] == ["table.load", "table.commit", "outbox.put", "model.ask"]


def test_a_repeated_webhook_is_dropped_though_the_queue_forgot_it(world: World) -> None:
    world.say("e1", "hello")
    world.settle()
    world.pass_time(3600)
    world.say("e1", "hello")
    world.settle()
    assert len(world.model.asked) == 1
    assert texts(world) == ["answer to turn 1"]
    assert world.telemetry.counts["DuplicatesDropped"] == 1


def test_a_repeated_notification_makes_no_second_answer(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    for _ in range(3):
        world.model.finish(last_ask(world), ModelReply(text="once"))
    world.settle()
    assert texts(world) == ["once"]
    assert world.telemetry.counts["StaleResults"] == 2


def test_a_result_of_an_earlier_turn_does_not_answer_a_later_one(world: World) -> None:
    world.say("e1", "one")
    world.pump("inbox.fifo")
    first = last_ask(world)
    world.model.finish(first, ModelReply(text="first"))
    world.pump("replies")
    world.say("e2", "two")
    world.pump("inbox.fifo")
    world.model.finish(first, ModelReply(text="first"))
    world.pump("replies")
    conversation = world.table.find(CONVERSATION)
    assert conversation is not None
    assert conversation.waits_for(2, 1)


@pytest.mark.parametrize("result", [ModelReply(text="of what was deleted"), ModelReply(error="no", permanent=True)])
def test_a_result_for_a_deleted_conversation_ends_no_turn_of_the_one_that_follows(
    world: World, result: ModelReply
) -> None:
    world.say("e1", "secret", "web:v:1")
    world.pump("inbox.fifo")
    world.table.forget("web:v:1")
    world.say("e2", "another thing", "web:v:1")
    world.pump("inbox.fifo")
    first, second = (ask for ask, _ in world.model.asked)
    world.model.finish(first, result)
    world.pump("replies")
    conversation = world.table.find("web:v:1")
    assert conversation is not None
    assert conversation.waits_for(second.turn, second.step)
    assert world.telemetry.counts["StaleResults"] == 1
    assert first.path != second.path, "the sweep does not find it either"


@pytest.mark.parametrize("event", ["e1", "e2"])
def test_taking_back_what_was_deleted_touches_nothing_that_follows(world: World, event: str) -> None:
    for old in ("e1", "e2"):
        world.say(old, old, "web:v:1")
    world.pump("inbox.fifo", 2)
    world.table.forget("web:v:1")
    for new in ("e3", "e4"):
        world.say(new, new, "web:v:1")
    world.cancel("web:v:1", event=event)
    world.pump("inbox.fifo", 3)
    world.settle()
    turns = [world.table.turn("web:v:1", number) for number in (1, 2)]
    assert [turn.status for turn in turns if turn is not None] == [TurnStatus.DELIVERED] * 2


def test_a_model_error_is_tried_again_and_then_told_to_the_user(world: World) -> None:
    world.say("e1", "你好")
    world.pump("inbox.fifo")
    for _ in range(PATIENCE.attempts):
        world.model.finish(last_ask(world), ModelReply(error="server error (500)"))
        world.pump("replies")
    world.settle()
    assert len(world.model.asked) == PATIENCE.attempts
    assert texts(world) == ["抱歉，这条消息我没能回答。请稍后再试一次。"]
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.FAILED
    assert turn.deadline is None


def test_a_permanent_model_error_is_not_tried_again(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(error="client error (400)", permanent=True))
    world.settle()
    assert len(world.model.asked) == 1


def test_a_late_failure_of_an_earlier_attempt_does_not_end_the_turn(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    first = last_ask(world)
    world.model.finish(first, ModelReply(error="500"))
    world.model.finish(first, ModelReply(error="500"))
    world.pump("replies", 10)
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.THINKING


def test_a_failed_turn_lets_the_next_message_be_answered(world: World) -> None:
    world.say("e1", "bad")
    world.pump("inbox.fifo")
    world.say("e2", "good")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(error="no", permanent=True))
    world.settle()
    assert texts(world)[-1] == "answer to turn 2"


def test_cancel_ends_the_turn_and_its_late_result_is_dropped(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.cancel(turn=1)
    world.pump("inbox.fifo")
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.CANCELLED
    world.settle()
    assert texts(world) == []


def test_cancel_lets_waiting_messages_become_the_next_turn(world: World) -> None:
    for event in ("e1", "e2"):
        world.say(event, event)
    world.cancel(event="e1")
    world.pump("inbox.fifo", 10)
    assert [ask.turn for ask, _ in world.model.asked] == [1, 2]
    world.settle()
    assert texts(world) == ["answer to turn 2"]


def test_a_waiting_message_can_be_taken_back(world: World) -> None:
    for event in ("e1", "e2", "e3"):
        world.say(event, event)
    world.cancel(event="e2")
    world.pump("inbox.fifo", 10)
    world.settle()
    said = [m["content"] for m in world.model.asked[-1][1]["messages"]]
    assert "e2" not in said
    assert "e3" in said


def test_taking_back_the_only_waiting_message_opens_no_turn(world: World) -> None:
    for event in ("e1", "e2"):
        world.say(event, event)
    world.cancel(event="e2")
    world.settle()
    assert texts(world) == ["answer to turn 1"]


def test_cancelling_what_is_over_changes_nothing(world: World) -> None:
    world.say("e1", "hello")
    world.settle()
    world.cancel(event="e1")
    world.cancel(turn=1)
    world.cancel(event="never")
    world.settle()
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.DELIVERED


def test_the_sweep_takes_a_result_whose_notification_was_lost(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="found"), notify=False)
    world.pass_time(PATIENCE.answer + 1)
    world.sweep()
    world.pump("outbox.fifo")
    assert texts(world) == ["found"]
    assert len(world.model.asked) == 1


def test_the_sweep_asks_again_and_then_fails_a_turn_without_a_result(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    for _ in range(PATIENCE.attempts):
        world.pass_time(PATIENCE.answer + 1)
        world.sweep()
    assert len(world.model.asked) == PATIENCE.attempts
    world.pump("outbox.fifo")
    assert (
        texts(world) == ["Sorry, I could not answer t", "hat. Please try again in a moment."] or len(texts(world)) == 2
    )


def test_the_sweep_leaves_turns_alone_that_are_in_time(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.sweep()
    assert len(world.model.asked) == 1


def test_an_answer_that_was_lost_on_its_way_out_is_sent_by_the_sweep(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="lost"))
    world.pump("replies")
    found = world.sqs.receive_message(QueueUrl="outbox.fifo")["Messages"]
    world.sqs.delete_message(QueueUrl="outbox.fifo", ReceiptHandle=found[0]["ReceiptHandle"])
    world.pass_time(PATIENCE.delivery + 1)
    world.sweep()
    world.pump("outbox.fifo")
    assert texts(world) == ["lost"]


def test_an_answer_whose_record_is_yet_to_come_is_sent_before_the_next_one(world: World) -> None:
    world.say("e1", "one")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="first"))
    world.die_at = (len(world.steps) + 3, "after")  # read, find, commit: the answer is stored and not queued
    world.pump("replies")
    world.say("e2", "two")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="second"))
    world.pump("replies")
    world.pump("outbox.fifo")
    assert texts(world) == ["first", "second"]
    world.settle()
    assert texts(world) == ["first", "second"]


def test_an_answer_whose_record_is_yet_to_come_is_sent_first_across_a_cancelled_turn(world: World) -> None:
    for event in ("e1", "e2"):
        world.say(event, event)
    world.pump("inbox.fifo", 2)
    world.model.finish(last_ask(world), ModelReply(text="first"))
    world.die_at = (len(world.steps) + 3, "after")  # read, load, commit: the answer is stored and not queued
    world.pump("replies")
    world.cancel(event="e2")
    world.say("e3", "three")
    world.pump("inbox.fifo", 2)
    world.model.finish(last_ask(world), ModelReply(text="third"))
    world.pump("replies")
    world.pump("outbox.fifo")
    assert texts(world) == ["first", "third"]
    world.settle()
    assert texts(world) == ["first", "third"]


@pytest.mark.parametrize("refused", [1, 5])
def test_an_answer_whose_record_is_yet_to_come_is_sent_first_across_turns_that_were_refused(refused: int) -> None:
    world = World(Policy(users=Limits(requests_per_minute=1)))
    world.say("e1", "one")
    world.pump("inbox.fifo")
    world.say("told", "of the limit, elsewhere", "slack:T1:C2/1.0")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="first"))
    world.die_at = (len(world.steps) + 3, "after")  # read, load, commit: the answer is stored and not queued
    world.pump("replies")
    for index in range(refused):
        world.say(f"r{index}", "refused")
    world.pump("inbox.fifo", 10)
    world.pass_time(60)
    world.say("e2", "two")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="second"))
    world.pump("replies", 10)
    before = len(world.steps)
    world.pump("outbox.fifo", 10)
    assert [text for conversation, text in world.platform.sent if conversation == CONVERSATION] == ["first", "second"]
    records = 3  # the notice elsewhere, the second answer, and the first one at last
    assert world.steps[before:].count("table.turns") == records + 1, "one look back, however many were refused"


def test_an_answer_that_never_gets_through_is_given_up_and_kept(world: World) -> None:
    world.patience = replace(PATIENCE, deliveries=2)
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="hi"))
    world.pump("replies")
    for _ in range(3):
        world.pass_time(PATIENCE.delivery + 1)
        world.sweep()
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.UNDELIVERABLE
    assert world.sqs.size("outbox-dead.fifo") == 1


def test_a_busy_channel_gets_the_patience_it_asks_for(world: World) -> None:
    world.platform.busy = 2
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="hi"))
    world.pump("replies")
    world.pump("outbox.fifo")
    assert world.pump("outbox.fifo") == 0, "not before the time that the channel named"
    for _ in range(2):
        world.pass_time(5.1)
        world.pump("outbox.fifo")
    assert texts(world) == ["hi"]


def test_a_long_answer_goes_on_at_the_piece_where_it_stopped(world: World) -> None:
    world.say("e1", "hello")
    world.pump("inbox.fifo")
    world.model.finish(last_ask(world), ModelReply(text="a" * 40 + "b" * 40 + "c" * 40))
    world.pump("replies")
    before = len(world.steps)
    world.die_at = (before + 5, "before")  # read the turn, cut, send a, mark a, then die before sending b
    world.pump("outbox.fifo")
    world.settle()
    assert texts(world) == ["a" * 40, "b" * 40, "c" * 40]


def test_what_a_channel_refuses_is_kept_as_a_dead_letter_and_ends_the_turn(world: World) -> None:
    world.platform.refusal = ChannelRefused("channel_not_found")
    world.say("e1", "hello")
    world.settle()
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.UNDELIVERABLE
    letters = world.sqs.receive_message(QueueUrl="outbox-dead.fifo")["Messages"]
    assert letters[0]["MessageAttributes"]["reason"]["StringValue"] == "channel_not_found"


def test_an_answer_that_is_delivered_while_the_sweep_gives_it_up_stays_delivered(world: World) -> None:
    world.say("e1", "hello")
    world.everything_moves()
    turn = world.table.turn(CONVERSATION, 1)
    assert turn is not None
    assert turn.status is TurnStatus.DELIVERED
    seen_before = replace(turn, status=TurnStatus.ANSWERED, deadline=world.now)
    bury(Outgoing(CONVERSATION, 1, "default", "answer to turn 1", turn.trace), seen_before, "late", world.now, world)
    assert world.table.turn(CONVERSATION, 1) == turn
    assert "Undeliverable" not in world.telemetry.counts


def test_an_answer_read_on_demand_is_delivered_by_being_stored(world: World) -> None:
    world.say("e1", "hello", conversation="web:v:1")
    world.settle()
    turn = world.table.turn("web:v:1", 1)
    assert turn is not None
    assert turn.status is TurnStatus.DELIVERED
    assert "outbox.put" not in world.steps


def test_a_record_that_is_none_of_ours_is_refused(world: World) -> None:
    for body in ("", "[]", '{"v":1}', '{"v":2,"kind":"message"}', '{"v":1,"kind":"message","event":1}', "[" * 100_000):
        with pytest.raises(UnreadableRecord):
            think("r", body, world.now, world)


def test_a_turns_reads_do_not_grow_with_the_conversation(world: World) -> None:
    sizes = []
    for index in range(60):
        world.say(f"e{index}", f"message {index}")
        world.pump("inbox.fifo")
        sizes.append(len(world.model.asked[-1][1]["messages"]))
        before = len(world.steps)
        world.settle()
        assert len(world.steps) - before <= 8
    assert max(sizes) <= 42
    assert sizes[-1] == sizes[-5]
