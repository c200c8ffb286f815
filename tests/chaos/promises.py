"""The design's invariants, held against what a run has left: each broken one is a line of text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from parley.aws import items
from parley.channels import slack_mrkdwn, telegram_html
from parley.domain.conversation import Conversation, Status
from parley.domain.message import Message, channel_of
from parley.domain.turn import Turn, TurnStatus, is_read_on_demand
from tests.chaos.scenarios import WAKING, Scenario
from tests.chaos.system import System


@dataclass
class Stored:
    """One conversation, as the table has it."""

    state: Conversation | None = None
    messages: list[Message] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


def broken(system: System, scenario: Scenario, sent_twice: int) -> list[str]:
    """What is not as it was promised. `sent_twice`: how many pieces may have been, by the design."""
    stored = _stored(system)
    found: list[str] = []
    for conversation, said in system.said.items():
        found += _kept(stored[conversation], said)
        found += _answered(stored[conversation], system, scenario)
        if not is_read_on_demand(conversation):
            found += _delivered(conversation, stored[conversation], system, sent_twice)
    return [*found, *_left(system, scenario), *system.complaints]


def _stored(system: System) -> dict[str, Stored]:
    found: dict[str, Stored] = defaultdict(Stored)
    for item in sorted(system.world.cloud.items(), key=lambda item: str(item["sk"]["S"])):
        conversation, sort = item["pk"]["S"].removeprefix("CONV#"), item["sk"]["S"]
        if sort == items.STATE:
            found[conversation].state = items.to_conversation(item)
        elif sort.startswith("MSG#"):
            found[conversation].messages.append(items.to_message(item))
        elif sort.startswith("TURN#"):
            found[conversation].turns.append(items.to_turn(item))
    return found


def _kept(stored: Stored, said: list[str]) -> Iterator[str]:
    texts = [message.text for message in stored.messages if message.role in ("user", "withdrawn")]
    if texts != said:
        yield f"kept: {_short(said)} was acknowledged, {_short(texts)} is stored"


def _answered(stored: Stored, system: System, scenario: Scenario) -> Iterator[str]:
    """Each message in one turn, each turn ended, with one answer to what was said in it."""
    state = stored.state
    if state is None or state.status is not Status.IDLE or state.pending:
        yield f"answered: the conversation is left as {state and (state.status, state.pending)}"
    numbers = {turn.number for turn in stored.turns}
    if lost := [m.text for m in stored.messages if m.role == "user" and m.turn not in numbers]:
        yield f"answered: {_short(lost)} belong to no turn"
    for turn in stored.turns:
        if turn.deadline is not None or turn.status not in scenario.ends:
            yield f"answered: turn {turn.number} is left as {turn.status}, deadline {turn.deadline}"
        own = sorted((m for m in stored.messages if m.turn == turn.number), key=lambda m: m.sequence)
        answers = [m.text for m in own if m.role == "assistant"]
        asked = [m.text for m in own if m.role == "user"]
        ended_by_answer = turn.status in (TurnStatus.DELIVERED, TurnStatus.UNDELIVERABLE)
        wanted = [system.model.answers(asked[-1])] if ended_by_answer and asked else []
        if answers != wanted:
            yield f"answered: turn {turn.number} ({turn.status}) has {_short(answers)}, not {_short(wanted)}"


def _delivered(conversation: str, stored: Stored, system: System, sent_twice: int) -> Iterator[str]:
    """Everything once and in order, but for the window."""
    texts = {m.sequence: m.text for m in stored.messages}
    wanted: list[str] = []
    for turn in stored.turns:
        if turn.status in (TurnStatus.DELIVERED, TurnStatus.FAILED):
            text = texts.get(turn.answer or 0) or turn.notice or ""
            wanted += _shown(channel_of(conversation), text)
    taken = _taken(conversation, system)
    missing, surplus = Counter(wanted) - Counter(taken), Counter(taken) - Counter(wanted)
    if missing or list(dict.fromkeys(taken)) != list(dict.fromkeys(wanted)):
        yield f"delivered: {_short(taken)}, not {_short(wanted)}"
    if surplus.total() > sent_twice:
        yield f"delivered: {surplus.total()} pieces were sent twice, {sent_twice} may be: {_short(taken)}"


def _shown(channel: str, text: str) -> list[str]:
    """The pieces of a text as they go over the wire."""
    if channel == "slack":
        return [slack_mrkdwn.to_mrkdwn(piece) for piece in slack_mrkdwn.pieces(text)]
    return [telegram_html.to_html(piece).html for piece in telegram_html.pieces(text)]


def _taken(conversation: str, system: System) -> list[str]:
    """What the platform took for this conversation, but for notices that belong to no turn's end."""
    if channel_of(conversation) == "slack":
        thread = conversation.rpartition("/")[2]
        bodies: list[dict[str, Any]] = [b for b in system.world.slack.taken if b.get("thread_ts") == thread]
    else:
        bodies = system.world.telegram.taken
    return [body["text"] for body in bodies if not body["text"].startswith(WAKING)]


def _left(system: System, scenario: Scenario) -> Iterator[str]:
    """Queues are empty, and nothing that could have gone through lies with the dead letters."""
    sqs, cloud = system.world.cloud.sqs, system.world.cloud
    dead = sum(sqs.size(queue) for queue in cloud.queues(dead=True))
    if dead != scenario.dead_letters:
        yield f"dead letters: {dead}, not {scenario.dead_letters}"
    if system.sweeps_needed and not scenario.needs_the_sweep:
        yield f"the sweep was needed {system.sweeps_needed} times: what queues bring again was not enough"


def _short(texts: list[str]) -> list[str]:
    shown = [text if len(text) < 60 else f"{text[:50]}... ({len(text)})" for text in texts[:6]]
    return [*shown, f"and {len(texts) - 6} more"] if len(texts) > 6 else shown
