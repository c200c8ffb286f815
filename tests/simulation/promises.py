"""The design's promises, held against a history: some at every write, the rest when everything has come to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parley.domain.conversation import Change, Status
from parley.domain.limits import refused_for
from parley.domain.message import Message
from parley.domain.progress import Progress, Stage
from parley.domain.turn import Ask, Turn, TurnStatus, is_read_on_demand
from scripts.local.stand_in.table import MemoryTable, Shelf
from tests.simulation.broken import Broken
from tests.simulation.ports import Model, Platforms

ENDS = {TurnStatus.DELIVERED, TurnStatus.FAILED, TurnStatus.CANCELLED, TurnStatus.UNDELIVERABLE}
KEPT: Mapping[str, str] = {
    "Kept": "what the inbox took is in its conversation once, in its order",
    "Answered": "every message has one turn, every turn ends, and asks what its users said",
    "Ordered": "one turn at a time; stored, answered and sent in the order of arrival",
    "Once": "one answer a turn; no piece sent twice outside the design's window",
    "Apart": "nothing is sent to whom it is not for",
    "Seen": "what was given up has its dead letter, and nothing else has",
    "Sound": "no stage fails but for its ports",
}
"""The promises, by their names in the design."""

WAITING = {Stage.QUEUED: 0, Stage.THINKING: 1}


@dataclass
class Account:
    """What the world outside knows of one conversation."""

    said: list[str] = field(default_factory=list)
    """Events that the inbox took, each once, in the order in which it did."""
    wished_away: set[str] = field(default_factory=set)
    """Events that their user wanted to take back."""
    deleted: int = 0
    """How many of them were stored when the conversation was deleted: they are gone, and known to have been there."""
    windows: int = 0
    """Pieces that a channel took while the run that was to mark them ended."""
    told: Counter[int] = field(default_factory=Counter)
    """Turns whose user was to be told that the model is waking up, and how often."""
    seen: dict[str, Progress] = field(default_factory=dict)
    """What readers were last shown of an event."""


class Promises:
    """Checks over one history's table, model and platforms. Every method raises Broken."""

    def __init__(self, table: MemoryTable, model: Model, platforms: Platforms) -> None:
        self.accounts: dict[str, Account] = {}
        self._table = table
        self._model = model
        self._platforms = platforms

    # -- at every step

    def at_commit(self, change: Change) -> None:
        """A change was written: one turn at a time, and messages in the order they arrived."""
        name = change.after.id
        shelf = self._shelf(name)
        turn = shelf.turns.get(change.after.turn)
        thinking = turn is not None and turn.status is TurnStatus.THINKING
        if thinking != (change.after.status is Status.THINKING):
            raise Broken("Ordered", f"{name} is {change.after.status} at turn {change.after.turn}: {turn}")
        if change.opened is not None:
            before = shelf.turns.get(change.opened.number - 1)
            if before is not None and before.status is TurnStatus.THINKING:
                raise Broken("Ordered", f"{name} opened a turn beside turn {before.number}")
        if change.new_mark is not None:
            said = self.accounts[name].said
            place = len(shelf.marks)
            if place > len(said) or said[place - 1] != change.new_mark.event:
                raise Broken("Ordered", f"{name} stored {change.new_mark.event} as number {place} of {said}")

    def at_ask(self, ask: Ask, request: Any) -> None:
        """The model is asked: the turn's own messages end the prompt, and a step's prompt is the same every time.

        Not of a turn that was deleted while its run went on: its result is dropped.
        """
        turn = self._shelf(ask.conversation).turns.get(ask.turn)
        if turn is None or turn.trace != ask.trace:
            return
        own = [m.text for m in self._messages(ask.conversation) if m.turn == ask.turn and m.role == "user"]
        asked = [entry["content"] for entry in request["messages"] if entry["role"] == "user"]
        if not own or asked[-len(own) :] != own:
            raise Broken("Answered", f"{ask.conversation} turn {ask.turn} asked {asked[-5:]} where users said {own}")
        before = self._model.prompts.setdefault((ask.conversation, ask.turn, ask.trace, ask.step), request)
        if before != request:
            raise Broken("Answered", f"{ask.conversation} turn {ask.turn} asked otherwise at attempt {ask.attempt}")

    def at_look(self, name: str, event: str, progress: Progress) -> None:
        """A reader was shown how far its message has come: never back, and an end stays as it is."""
        before = self.accounts[name].seen.get(event)
        self.accounts[name].seen[event] = progress
        if progress.stage is Stage.ANSWERED and progress.answer is None:
            raise Broken("Answered", f"{event} of {name} is answered, and has no answer")
        if before is None:
            return
        back = WAITING.get(progress.stage, 2) < WAITING.get(before.stage, 2)
        changed = before.over and (before.stage, before.answer) != (progress.stage, progress.answer)
        if back or changed:
            raise Broken("Answered", f"{event} of {name} was {before.stage}, and is {progress.stage}")

    def at_delete(self, name: str) -> None:
        """A conversation is about to be deleted: what is stored of it goes."""
        self.accounts[name].deleted = len(self._shelf(name).marks)
        self.accounts[name].seen = {}

    # -- at the end

    def at_end(self, buried: set[tuple[str, int]], failed: set[tuple[str, int]], others: int) -> None:
        """Everything has come to its end. The arguments are the dead letters, as System.letters gives them."""
        if others:
            raise Broken("Seen", f"{others} records in dead-letter queues that could have gone through")
        for name, account in self.accounts.items():
            self._kept(name, account)
            self._answered(name, account, failed | buried)
            self._delivered(name, account, buried)

    def _kept(self, name: str, account: Account) -> None:
        stored = [m.event for m in self._messages(name) if m.role in ("user", "withdrawn")]
        if stored != account.said[account.deleted :]:
            raise Broken("Kept", f"{name} holds {stored}, and was given {account.said[account.deleted :]}")

    def _answered(self, name: str, account: Account, letters: set[tuple[str, int]]) -> None:
        shelf = self._shelf(name)
        answers = Counter(m.turn for m in shelf.messages.values() if m.role == "assistant")
        asked = {m.turn for m in shelf.messages.values() if m.role == "user"}
        for number, turn in shelf.turns.items():
            if turn.status not in ENDS or turn.deadline is not None:
                raise Broken("Answered", f"{name} turn {number} stays {turn.status}")
            if _needs_a_letter(turn) and (name, number) not in letters:
                raise Broken("Seen", f"{name} turn {number} failed, and left no dead letter")
            if number not in asked:
                raise Broken("Answered", f"{name} turn {number} answers nobody")
            answered = turn.status in (TurnStatus.DELIVERED, TurnStatus.UNDELIVERABLE)
            if answers[number] != int(answered):
                raise Broken("Once", f"{name} turn {number}, {turn.status}, has {answers[number]} answers")
            if answered and shelf.messages[turn.answer or 0].text not in self._model.texts[name, number, turn.trace]:
                raise Broken("Answered", f"{name} turn {number} has an answer that was not made for it")
        for message in shelf.messages.values():
            if message.role == "user" and message.turn not in shelf.turns:
                raise Broken("Answered", f"{message.event} of {name} waits for ever")
            if message.role == "withdrawn" and message.event not in account.wished_away:
                raise Broken("Kept", f"{message.event} of {name} was taken back by nobody")
        if shelf.state is not None and (shelf.state.status is not Status.IDLE or shelf.state.pending):
            raise Broken("Answered", f"{name} ends {shelf.state.status} with {shelf.state.pending} pending")

    def _delivered(self, name: str, account: Account, buried: set[tuple[str, int]]) -> None:
        took = [piece for piece in self._platforms.took[name] if "waking up" not in piece]
        if len(self._platforms.took[name]) - len(took) > len(account.told) or max(account.told.values(), default=0) > 1:
            raise Broken("Once", f"{name} was told too often that the model wakes up")
        if is_read_on_demand(name):
            if took:
                raise Broken("Apart", f"{name} was sent {took}")
            return
        expected = [entry for _, turn in sorted(self._shelf(name).turns.items()) for entry in self._owed(turn, buried)]
        twice = _surplus(name, took, expected)
        if twice > account.windows:
            raise Broken("Once", f"{name} was sent {twice} pieces twice, with {account.windows} windows: {took}")

    def _owed(self, turn: Turn, buried: set[tuple[str, int]]) -> list[tuple[str, bool]]:
        """What the turn's channel must have got: each piece, and whether it may be missing."""
        if turn.status is TurnStatus.CANCELLED:
            return []
        answer = self._table.message(turn.conversation, turn.answer) if turn.answer is not None else None
        text = answer.text if answer is not None else turn.notice
        if not text:
            return []  # refused, as the user was told a moment ago
        pieces = self._platforms.pieces(text)
        if turn.sent < len(pieces) and (turn.conversation, turn.number) not in buried:
            raise Broken("Seen", f"{turn.conversation} turn {turn.number} was given up, and left no dead letter")
        if turn.sent == len(pieces) and turn.status is TurnStatus.UNDELIVERABLE:
            raise Broken("Seen", f"{turn.conversation} turn {turn.number} was delivered, and is called undeliverable")
        return [(piece, number >= turn.sent) for number, piece in enumerate(pieces)]

    def _messages(self, name: str) -> list[Message]:
        return [message for _, message in sorted(self._shelf(name).messages.items())]

    def _shelf(self, name: str) -> Shelf:
        return self._table.all().get(name, Shelf())


def _needs_a_letter(turn: Turn) -> bool:
    """Whether it failed, and not because a limit or the budget says so."""
    return turn.status is TurnStatus.FAILED and refused_for(turn.error) is None and "budget" not in (turn.error or "")


def _surplus(name: str, took: list[str], expected: list[tuple[str, bool]]) -> int:
    """How many pieces came twice, right after each other. Raises Broken for any other difference in content or order.

    Two turns may send the same notice, so every place is kept where the expected list can have got to.
    """
    places = {0: 0}  # how many of the expected are done: how many came twice on the way there
    for piece in took:
        reached: dict[int, int] = {}
        for at, twice in places.items():
            if at and expected[at - 1][0] == piece:
                reached[at] = min(twice + 1, reached.get(at, twice + 1))
            for ahead in range(at, len(expected)):
                if expected[ahead][0] == piece:
                    reached[ahead + 1] = min(twice, reached.get(ahead + 1, twice))
                if not expected[ahead][1]:
                    break
        if not reached:
            raise Broken("Ordered", f"{name} was sent {piece!r} out of turn: {took}")
        places = reached
    ends = [twice for at, twice in places.items() if all(may_be_missing for _, may_be_missing in expected[at:])]
    if not ends:
        raise Broken("Answered", f"{name} was never sent {[piece for piece, _ in expected[max(places) :]]}")
    return min(ends)
