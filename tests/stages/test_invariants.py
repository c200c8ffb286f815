"""The design's invariants under random interleavings: users, crashes, repeats, lost notifications and time.

Each rule is something that can happen at any moment. At the end everything is let run out, and what was promised is
counted. The process may die before or after any call that a stage makes.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from parley.domain.conversation import Status
from parley.domain.limits import refused_for
from parley.domain.message import Message
from parley.domain.turn import Ask, ModelReply, Turn, TurnStatus
from parley.envelopes import read_failed
from scripts.local.stand_in.table import Shelf
from tests.stages.world import QUEUES, VISIBILITY, Died, World

CONVERSATIONS = ["slack:T1:C1", "slack:T1:C2", "web:v1:w1"]
ENDS = {TurnStatus.DELIVERED, TurnStatus.FAILED, TurnStatus.CANCELLED}


class Histories(RuleBasedStateMachine):
    """Anything, in any order."""

    said = Bundle("said")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.acknowledged: dict[str, list[str]] = {name: [] for name in CONVERSATIONS}
        self.withdrawn: set[str] = set()
        self.windows: Counter[str] = Counter()
        self.needs_the_sweep = False

    # -- what can happen

    @rule(target=said, conversation=st.sampled_from(CONVERSATIONS))
    def somebody_writes(self, conversation: str) -> tuple[str, str]:
        event = f"e{sum(map(len, self.acknowledged.values()))}"
        self.world.say(event, f"text of {event}", conversation)
        self.acknowledged[conversation].append(event)
        return conversation, event

    @rule(message=said)
    def the_platform_repeats_a_webhook(self, message: tuple[str, str]) -> None:
        conversation, event = message
        self.world.say(event, f"text of {event}", conversation)

    @rule(message=consumes(said))
    def a_message_is_cancelled(self, message: tuple[str, str]) -> None:
        self.world.cancel(message[0], event=message[1])
        self.withdrawn.add(message[1])

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 10))
    def a_batch_is_handled(self, queue: str, count: int) -> None:
        self.world.pump(queue, count)

    @rule(calls=st.integers(1, 12), side=st.sampled_from(["before", "after"]))
    def a_run_dies_while_everything_moves(self, calls: int, side: str) -> None:
        self.world.die_at = (len(self.world.steps) + calls, side)
        self.world.everything_moves()
        self.world.die_at = None
        # The window that the design names: the channel took the piece, and the mark was not made.
        if self.world.death in ("after channel.send", "before table.sent"):
            self.windows[self.world.last_sent_to] += 1
        self.world.death = ""

    @rule(
        data=st.data(),
        outcome=st.sampled_from(["answer", "answer", "error", "refusal"]),
        notify=st.sampled_from([True, True, True, True, False]),
    )
    def the_model_finishes_a_call(self, data: st.DataObject, outcome: str, notify: bool) -> None:
        if not self.world.model.asked:
            return
        ask: Ask = data.draw(st.sampled_from([ask for ask, _ in self.world.model.asked]))
        result = {
            "answer": ModelReply(text=f"turn {ask.turn} of {ask.conversation}"),
            "error": ModelReply(error="server error (500)"),
            "refusal": ModelReply(error="client error (400)", permanent=True),
        }[outcome]
        self.world.model.finish(ask, result, notify)
        self.needs_the_sweep |= not notify

    @rule()
    def everything_moves(self) -> None:
        self.world.everything_moves()

    @rule(seconds=st.sampled_from([1.0, VISIBILITY + 1, 301.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(calls=st.integers(0, 15))
    def the_sweep_runs(self, calls: int) -> None:
        self.world.die_at = (len(self.world.steps) + calls, "before") if 0 < calls < 10 else None
        try:
            self.world.sweep()
        except Died:
            self.needs_the_sweep = True
        self.world.die_at = None

    @rule(busy=st.integers(1, 3))
    def the_channel_is_busy(self, busy: int) -> None:
        self.world.platform.busy = busy

    # -- what must hold

    @invariant()
    def one_turn_at_a_time(self) -> None:
        for name in CONVERSATIONS:
            thinking = [turn for turn in self._turns(name) if turn.status is TurnStatus.THINKING]
            state = self.world.table.find(name)
            assert len(thinking) <= 1
            assert bool(thinking) == (state is not None and state.status is Status.THINKING)

    @invariant()
    def no_turn_has_two_answers(self) -> None:
        for name in CONVERSATIONS:
            answers = Counter(m.turn for m in self._messages(name) if m.role == "assistant")
            assert all(count == 1 for count in answers.values())

    def teardown(self) -> None:
        self.world.platform.busy = 0
        self.world.run_dry()
        if not self.needs_the_sweep:
            left = self.world.table.overdue(float("inf"), 1)
            assert not left, "what the queues bring again needs no sweep"
        self.world.settle()
        for name in CONVERSATIONS:
            self._kept_in_order(name)
            self._answered(name)
            if name.startswith("slack"):
                self._delivered_once_in_order(name)
        assert all(self.world.sqs.size(queue) == 0 for queue in ("replies-dead", "outbox-dead.fifo"))
        self._failed_turns_have_a_letter()

    def _failed_turns_have_a_letter(self) -> None:
        """And nothing else is in the inbox's dead letters. A run that died may have left one of a turn that went on.

        A turn that was refused for its user's limit has none: that was asked for.
        """
        letters = [read_failed(record["Body"]) for record in self.world.take_all("inbox-dead.fifo")]
        assert None not in letters
        named = {(letter.conversation, letter.turn) for letter in letters if letter is not None}
        for name in CONVERSATIONS:
            failed = {t.number for t in self._turns(name) if t.status is TurnStatus.FAILED and not refused_for(t.error)}
            assert {(name, number) for number in failed} <= named

    def _kept_in_order(self, name: str) -> None:
        stored = [m.event for m in self._messages(name) if m.role in ("user", "withdrawn")]
        assert stored == self.acknowledged[name], "every acknowledged message is stored exactly once, in order"

    def _answered(self, name: str) -> None:
        turns = {turn.number: turn for turn in self._turns(name)}
        for message in self._messages(name):
            if message.role == "user":
                assert turns[message.turn].status in ENDS
                assert turns[message.turn].deadline is None
            if message.role == "withdrawn":
                assert message.event in self.withdrawn

    def _delivered_once_in_order(self, name: str) -> None:
        expected = [text for turn in self._turns(name) for text in self._outgoing(name, turn)]
        sent = [piece for channel, piece in self.world.platform.sent if channel == name]
        surplus = list(sent)
        for piece in expected:
            surplus.remove(piece)
        assert len(surplus) <= self.windows[name], "no piece is sent twice outside the window"
        assert [piece for i, piece in enumerate(sent) if piece not in sent[:i]] == list(dict.fromkeys(expected))

    def _outgoing(self, name: str, turn: Turn) -> list[str]:
        if turn.status is TurnStatus.CANCELLED:
            return []
        answer = self.world.table.message(name, turn.answer) if turn.answer else None
        return self.world.platform.pieces(answer.text if answer else turn.notice or "")

    def _messages(self, name: str) -> list[Message]:
        return [message for _, message in sorted(self._shelf(name).messages.items())]

    def _turns(self, name: str) -> list[Turn]:
        return [turn for _, turn in sorted(self._shelf(name).turns.items())]

    def _shelf(self, name: str) -> Shelf:
        return self.world.table.all().get(name, Shelf())


TestInvariants = Histories.TestCase
TestInvariants.settings = settings(
    max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
