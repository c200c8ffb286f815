"""reply(): a result of the model becomes the turn's answer, goes to the outbox, and lets the next turn begin."""

from __future__ import annotations

from parley.domain import conversation as rules
from parley.domain import notices, prompt
from parley.domain.conversation import Change, Conversation
from parley.domain.message import Message, channel_of
from parley.domain.turn import Ask, ModelReply, Patience
from parley.errors import StaleResult
from parley.ports import Ports, Telemetry
from parley.stages.burying import bury_turn
from parley.stages.committing import commit, say
from parley.stages.inbox_to_model import ask, finish_earlier_run
from parley.stages.owing import queue_what_is_owed
from parley.stages.resting import rest_if_closed

WAKE_SECONDS = 60.0
"""A result that took longer waited for an instance: one that runs answers in seconds."""


def reply(record: str, body: str, now: float, ports: Ports) -> None:
    """Handle one record of the replies queue; `record` is the queue's id of it.

    Raises UnreadableRecord, Conflict or what an adapter raises: the queue tries again.
    """
    done, result = ports.backend.read(body)
    ports.telemetry.follow(done.trace, done.conversation)
    take_result(done, result, record, now, ports)
    if result.error is None and result.seconds >= WAKE_SECONDS:
        ports.guard.woke(result.seconds, now)


def take_result(done: Ask, result: ModelReply, record: str, now: float, ports: Ports) -> None:
    """End the turn with this result, or try its step again, and do what follows from that.

    The messages are read along with the state, for the model call that may follow: two read units more than the state
    alone, where a query of their own would be a request more.
    """
    newest: list[Message] = []

    def decide() -> Change:
        nonlocal newest
        conversation, newest = ports.conversations.load(done.conversation, prompt.HISTORY_MESSAGES)
        if conversation is None:
            raise StaleResult("there is no such conversation")
        change = decide_on(conversation, done, result, record, now, ports.patience)
        if change.failed:
            bury_turn(conversation, result.error or "", ports)
        return change

    try:
        change = commit(decide, now, ports)
    except StaleResult as reason:
        ports.telemetry.count("StaleResults")
        ports.telemetry.note("result not waited for", reason=str(reason))
        _finish_earlier_run(done, record, now, ports)
        return
    _report(change, done, result, ports.telemetry)
    say(change, ports)
    if change.ask is not None and not rest_if_closed(change.after.id, record, now, ports):
        ask(change.after, [*newest, *change.messages], ports)


def decide_on(
    conversation: Conversation, done: Ask, result: ModelReply, record: str, now: float, patience: Patience
) -> Change:
    """The change that a result makes. A late success of an earlier attempt is taken, its late failure is not.

    Raises StaleResult when the conversation does not wait for it.
    """
    if conversation.trace != done.trace:
        raise StaleResult("the conversation that asked was deleted, and another one has begun")
    if result.error is None:
        return rules.answer(conversation, done.turn, done.step, result, record, now, patience)
    if not conversation.waits_for(done.turn, done.step) or conversation.attempt != done.attempt:
        raise StaleResult(f"attempt {done.attempt} of turn {done.turn} step {done.step} is not waited for")
    if not result.permanent and conversation.attempt < patience.attempts:
        return rules.retry(conversation, record, now, patience)
    return rules.fail(conversation, result.error, notices.failed(conversation.title), record, now, patience)


def _finish_earlier_run(done: Ask, record: str, now: float, ports: Ports) -> None:
    """Do again what a run of this record may have left undone after its transaction; each has a name that repeats."""
    conversation = finish_earlier_run(record, done.conversation, now, ports)
    if conversation is not None:
        # its turn, and the next one, which may have ended as it opened
        turns = ports.conversations.turns(done.conversation, done.turn + 1, 2)
        queue_what_is_owed(reversed(turns), conversation, ports)


def _report(change: Change, done: Ask, result: ModelReply, telemetry: Telemetry) -> None:
    """Count what happened to the turn."""
    if result.error is None:
        telemetry.count("TurnsAnswered")
        for name, metric in (("prompt_tokens", "TokensIn"), ("completion_tokens", "TokensOut")):
            telemetry.count(metric, result.usage.get(name, 0))
        if result.dropped:
            telemetry.count("MessagesOutsideWindow", result.dropped)
        spent = result.usage.get("compute_ms", 0)
        telemetry.count("ComputeTime", spent, "Milliseconds")
        telemetry.note(
            "turn answered", turn=done.turn, characters=len(result.text), attempt=done.attempt,
            channel=channel_of(done.conversation), user=change.after.user, compute_ms=spent,
            tokens_in=result.usage.get("prompt_tokens", 0), tokens_out=result.usage.get("completion_tokens", 0),
        )  # fmt: skip
        return
    telemetry.count("ModelErrors")
    telemetry.count("TurnsFailed", int(change.failed))
    telemetry.warn("model failed", turn=done.turn, attempt=done.attempt, reason=result.error, given_up=change.failed)
