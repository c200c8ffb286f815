"""The table in memory: `Conversations` over the domain's own values, with the same conditions as the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from parley.aws.items import MARK_SECONDS
from parley.domain.conversation import Change, Conversation, EventMark
from parley.domain.limits import Policy
from parley.domain.message import Message
from parley.domain.turn import Turn, TurnStatus
from parley.errors import AlreadySeen, Conflict
from scripts.local.stand_in.allowances import MemoryAllowances


@dataclass
class Shelf:
    """Everything about one conversation."""

    state: Conversation | None = None
    messages: dict[int, Message] = field(default_factory=dict)
    turns: dict[int, Turn] = field(default_factory=dict)
    marks: dict[str, EventMark] = field(default_factory=dict)


class MemoryTable:
    """`Conversations` and `Allowances`, thread-safe; `clock` gives epoch seconds, `policy` what users may take."""

    def __init__(self, clock: Callable[[], float] = time.time, policy: Policy | None = None) -> None:
        self._clock = clock
        self._taking = MemoryAllowances(policy or Policy())
        self._shelves: dict[str, Shelf] = {}
        self._open: set[tuple[str, int]] = set()
        self._users: dict[str, set[str]] = {}
        self._lock = threading.RLock()

    def load(self, conversation: str, newest: int) -> tuple[Conversation | None, list[Message]]:
        """State and newest messages."""
        with self._lock:
            shelf = self._shelves.get(conversation, Shelf())
            if shelf.state is None:
                return None, []
            return shelf.state, self.messages(conversation, shelf.state.sequence + 1, newest)

    def find(self, conversation: str) -> Conversation | None:
        """State."""
        return self._shelves.get(conversation, Shelf()).state

    def commit(self, change: Change) -> None:
        """All of the change, or nothing."""
        id = change.after.id
        with self._lock:
            shelf = self._shelves.setdefault(id, Shelf())
            if change.new_mark is not None and change.new_mark.event in shelf.marks:
                raise AlreadySeen(shelf.marks[change.new_mark.event])
            stored, expected = (0, 0.0), (change.before, change.after.created if change.before else 0.0)
            if shelf.state is not None:
                stored = shelf.state.version, shelf.state.created
            if stored != expected:
                raise Conflict(f"conversation {id} has moved on from version {change.before}")
            self._taking.go_with(change)
            self._write(shelf, change)

    def admit(self, user: str, conversation: str, now: float, opens: bool = True) -> None:
        """Count one request, when it may go in."""
        with self._lock:
            self._taking.admit(user, conversation, now, opens)

    def _write(self, shelf: Shelf, change: Change) -> None:
        shelf.state = change.after
        self._users.setdefault(change.after.user, set()).add(change.after.id)
        shelf.messages |= {message.sequence: message for message in change.messages}
        for mark in (change.new_mark, change.mark):
            if mark is not None:
                shelf.marks[mark.event] = mark
        if change.opened is not None:
            self._put(change.opened)
        if change.updated is not None:
            turn = shelf.turns[change.updated.number]
            self._put(replace(turn, deadline=change.updated.deadline, **change.updated.fields()))

    def mark(self, conversation: str, event: str) -> EventMark | None:
        """An event's mark, unless it has expired."""
        mark = self._shelves.get(conversation, Shelf()).marks.get(event)
        return mark if mark is not None and int(mark.created) + MARK_SECONDS > self._clock() else None

    def turn(self, conversation: str, number: int) -> Turn | None:
        """One turn."""
        return self._shelves.get(conversation, Shelf()).turns.get(number)

    def turns(self, conversation: str, upto: int, count: int) -> list[Turn]:
        """A turn and those before it, backwards."""
        with self._lock:
            kept = self._shelves.get(conversation, Shelf()).turns
            return [kept[number] for number in range(upto, max(upto - count, 0), -1) if number in kept]

    def message(self, conversation: str, sequence: int) -> Message | None:
        """One message."""
        return self._shelves.get(conversation, Shelf()).messages.get(sequence)

    def messages(self, conversation: str, before: int, limit: int) -> list[Message]:
        """A page of messages, oldest first; found by counting down, so its cost is that of the page."""
        with self._lock:
            shelf = self._shelves.get(conversation, Shelf())
            kept = shelf.messages
            found: list[Message] = []
            sequence = min(before, shelf.state.sequence + 1 if shelf.state is not None else 1)
            while sequence > 1 and len(found) < limit:
                sequence -= 1
                if sequence in kept:
                    found.append(kept[sequence])
            return found[::-1]

    def rate(self, conversation: str, sequence: int, rating: str | None) -> None:
        """Beside the answer."""
        with self._lock:
            answer = self.message(conversation, sequence)
            if answer is None or answer.role != "assistant":
                raise Conflict(f"message {sequence} is no answer")
            self._shelves[conversation].messages[sequence] = replace(answer, feedback=rating)

    def sent(self, turn: Turn, pieces: int, done: bool, now: float) -> None:
        """Count pieces."""
        with self._lock:
            stored = self.turn(turn.conversation, turn.number)
            if stored is None or stored.sent >= pieces:
                raise Conflict(f"turn {turn.number} has moved on")
            status = TurnStatus.DELIVERED if done and turn.status is TurnStatus.ANSWERED else turn.status
            deadline = None if done else stored.deadline
            self._put(replace(stored, sent=pieces, status=status, ended=now, deadline=deadline))

    def undeliverable(self, turn: Turn, error: str, now: float) -> None:
        """End the turn without its delivery, unless that has come to an end meanwhile."""
        with self._lock:
            stored = self.turn(turn.conversation, turn.number)
            if stored is None or stored.deadline is None:
                raise Conflict(f"turn {turn.number} has moved on")
            ended = replace(stored, ended=now, deadline=None)
            if turn.status is not TurnStatus.FAILED:
                ended = replace(ended, status=TurnStatus.UNDELIVERABLE, error=error)
            self._put(ended)

    def postpone(self, turn: Turn, deadline: float) -> None:
        """A later deadline, one more try."""
        with self._lock:
            stored = self.turn(turn.conversation, turn.number)
            if stored is None or stored.deadline is None:
                raise Conflict(f"turn {turn.number} has moved on")
            self._put(replace(stored, deadline=deadline, tries=turn.tries + 1))

    def reopen(self, conversation: str, number: int, deadline: float) -> bool:
        """Owe once more what the channel would not take."""
        with self._lock:
            stored = self.turn(conversation, number)
            if stored is None or stored.status not in (TurnStatus.UNDELIVERABLE, TurnStatus.FAILED):
                return False
            if stored.deadline is not None:
                raise Conflict(f"turn {number} has moved on")
            status = TurnStatus.ANSWERED if stored.status is TurnStatus.UNDELIVERABLE else stored.status
            self._put(replace(stored, status=status, deadline=deadline, tries=stored.tries + 1))
            return True

    def tell_once(self, turn: Turn) -> bool:
        """Mark it, unless that was done."""
        with self._lock:
            stored = self.turn(turn.conversation, turn.number)
            if stored is None or stored.told or stored.status is not TurnStatus.THINKING:
                return False
            self._put(replace(stored, told=True))
            return True

    def overdue(self, now: float, limit: int) -> list[tuple[str, int]]:
        """Open turns past their deadline, the longest overdue first."""
        with self._lock:
            turns = [self._shelves[conversation].turns[number] for conversation, number in self._open]
        late = [turn for turn in turns if turn.deadline is not None and turn.deadline <= now]
        late.sort(key=lambda turn: (turn.deadline or 0, turn.conversation, turn.number))
        return [(turn.conversation, turn.number) for turn in late[:limit]]

    def of_user(self, user: str, limit: int) -> list[Conversation]:
        """A user's conversations, the newest first."""
        with self._lock:
            states = [state for id in self._users.get(user, ()) if (state := self.find(id)) is not None]
        return sorted(states, key=lambda state: state.updated, reverse=True)[:limit]

    def forget(self, conversation: str) -> None:
        """Everything but the marks, which are emptied."""
        with self._lock:
            shelf = self._shelves.pop(conversation, Shelf())
            if shelf.state is not None:
                self._taking.give_back(shelf.state.user, conversation, self._clock())
            self._open -= {(conversation, number) for number in shelf.turns}
            emptied = {event: replace(m, deleted=True, options={}, details={}) for event, m in shelf.marks.items()}
            self._shelves[conversation] = Shelf(marks=emptied)

    def drop(self, conversation: str) -> None:
        """Everything, the marks as well: for those who run for long, and have seen what came of a conversation."""
        with self._lock:
            state = self.find(conversation)
            self.forget(conversation)
            del self._shelves[conversation]
            if state is not None:
                self._users[state.user].discard(conversation)
                if not self._users[state.user]:
                    del self._users[state.user]

    def forget_messages(self, conversation: str, mark: EventMark, sequences: Sequence[int]) -> None:
        """These messages; with the first, the title that was made of it."""
        with self._lock:
            shelf = self._shelves.setdefault(conversation, Shelf())
            if 1 in sequences and shelf.state is None:
                raise Conflict(f"conversation {conversation} is gone")
            shelf.marks[mark.event] = mark
            for sequence in sequences:
                shelf.messages.pop(sequence, None)
            if 1 in sequences and shelf.state is not None:
                shelf.state = replace(shelf.state, title="")

    def all(self) -> dict[str, Shelf]:
        """Every conversation's shelf, by id: for those who check what came of a run."""
        with self._lock:
            return dict(self._shelves)

    def _put(self, turn: Turn) -> None:
        """Store a turn, and keep the sweep's list in step."""
        self._shelves[turn.conversation].turns[turn.number] = turn
        place = (turn.conversation, turn.number)
        (self._open.discard if turn.deadline is None else self._open.add)(place)
