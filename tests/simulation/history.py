"""One history: users, queues, runs of the real stages, a model and time, in an order that its choices make.

First anything may happen, a choice at a time. Then everything is let run out, without faults, with the sweep's help;
and what was promised is held against what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from parley.domain.conversation import Status
from parley.domain.message import Cancel, Incoming, channel_of
from parley.domain.turn import Ask, ModelReply, is_read_on_demand
from tests.simulation.broken import Broken
from tests.simulation.choices import Choices, Weights
from tests.simulation.ports import reply_to
from tests.simulation.promises import Account
from tests.simulation.system import QUEUES, System

CONVERSATIONS = ("slack:T1:C1", "web:v1:w1", "api:a1:c_1", "telegram:B1:7", "slack:T1:C2")
JUMPS = (0.1, 1.0, 20.0, 61.0, 181.0, 301.0, 361.0, 901.0, 1801.0)
AROUND = (-5.0, 0.0, 5.0, 50.0)
"""Seconds after the next deadline: at what time a sweep and a stage may both think that the turn is theirs."""
LONGEST_VISIBILITY, LONGEST_PATIENCE = 361.0, 1801.0
MOST_RETURNS, MOST_SWEEPS = 50, 20

T = TypeVar("T")

_MORE = Weights(0.5, 0.3, 0.2)
_HALF = Weights(0.5, 0.5)
_SELDOM = Weights(0.75, 0.25)
_OUTCOME = Weights(0.55, 0.3, 0.1, 0.05)


class History(System):
    """What happens to a system. `run` plays it once."""

    def __init__(self, choices: Choices, told: bool = False) -> None:
        super().__init__(choices, told)
        first, more = choices.below(len(CONVERSATIONS)), choices.weighted(_MORE)
        self._names = (CONVERSATIONS * 2)[first : first + 1 + more]
        self.promises.accounts = {name: Account() for name in self._names}
        self._said = 0
        self._wishes = 0
        self._likely, self._actions = self._weigh()

    def run(self) -> None:
        """Play it. Raises Broken."""
        for _ in range(15 + 15 * self.choices.below(4)):
            if self._actions[self.choices.weighted(self._likely)]() is False:
                self._go_on()
        self._settle()
        self.promises.at_end(*self.letters())

    def _weigh(self) -> tuple[Weights, list[Callable[[], object]]]:
        """What can happen, and how likely; the tamest first. An action gives False when there is nothing to do."""
        on = self.dangers
        actions: list[tuple[float, Callable[[], object]]] = [
            (4.0, self._go_on),
            (3.0, self._somebody_writes),
            (4.0 * on.races, self._a_run_goes_on),
            (3.0, self._a_function_gets_records),
            (1.5, self._the_model_ends_a_call),
            (1.5 * on.lateness, self._a_notification_comes),
            (1.0 + 2.0 * on.impatience, self._time_passes),
            (0.5 * on.repeats, self._a_webhook_comes_again),
            (0.8 * on.cancels, self._somebody_changes_their_mind),
            (0.4 * on.deletions, self._somebody_deletes),
            (0.6 + 1.5 * on.impatience, self.sweep),
            (0.6, self._somebody_looks),
            (0.5 * on.channel_trouble, self._a_channel_has_trouble),
            (0.4 * on.budget, self._the_budget_changes),
            (0.2, self._the_model_sleeps_or_wakes),
            (0.5 * on.deaths, self._a_run_dies),
            (0.5 * on.floods, self._somebody_writes_fifty),
        ]
        return Weights(*(weight for weight, _ in actions)), [act for _, act in actions]

    def _go_on(self) -> bool:
        """Something that is due happens; False when nothing is."""
        if self.scheduler.alive:
            self.resume(self.scheduler.alive[0])
        elif any(self.start(queue, 10) for queue in QUEUES):
            pass
        elif self.model.asked:
            ask = self.model.asked.pop(0)
            self._end_call(ask, self.model.answer(ask), 1)
        elif self.model.air:
            self._arrive(0)
        else:
            return False
        return True

    # -- runs

    def _a_run_goes_on(self) -> bool:
        if not self.scheduler.alive:
            return False
        self.resume(self._one_of(self.scheduler.alive))
        return True

    def _a_run_dies(self) -> bool:
        if not self.scheduler.alive:
            return False
        self.kill(self._one_of(self.scheduler.alive))
        return True

    def _a_function_gets_records(self) -> bool:
        queue = self._one_of(tuple(QUEUES))
        return self.start(queue, self._one_of((10, 1, 2)))

    # -- people

    def _somebody_writes(self) -> None:
        self._write(self._one_of(self._names))

    def _somebody_writes_fifty(self) -> None:
        for _ in range(50):
            self._write(self._names[0])

    def _a_webhook_comes_again(self) -> None:
        if (found := self._any_event()) is not None:
            self._put(*found)

    def _somebody_changes_their_mind(self) -> None:
        """By the event, as the API has it, or by the turn, as the page does."""
        if (found := self._any_event()) is None:
            return
        name, event = found
        self._wishes += 1
        state = self.table.find(name)
        if self.choices.weighted(_HALF) and state is not None and state.status is Status.THINKING:
            self.note(f"somebody stops turn {state.turn} of {name}")
            self.door.put(Cancel(f"c{self._wishes}", name, "c", turn=state.turn))
            return
        self.note(f"somebody takes back {event} of {name}")
        self.promises.accounts[name].wished_away.add(event)
        self.door.put(Cancel(f"c{self._wishes}", name, "c", event=event))

    def _somebody_looks(self) -> None:
        found = self._any_event()
        if found is not None and is_read_on_demand(found[0]) and not self.promises.accounts[found[0]].deleted:
            self.look(*found)

    def _somebody_deletes(self) -> bool:
        name = self._one_of(self._names)
        if channel_of(name) != "web" or any(run.kind == "look" for run in self.scheduler.alive):
            return False
        self.note(f"{name} is deleted")
        self.promises.at_delete(name)
        self.table.forget(name)
        return True

    def _write(self, name: str) -> None:
        self._said += 1
        event = f"e{self._said}"
        self.promises.accounts[name].said.append(event)
        self._put(name, event)

    def _put(self, name: str, event: str) -> None:
        self.note(f"{event} of {name} comes in")
        user = f"{name.partition(':')[0]}:u{event[-1] > '6'}"  # two of each channel
        self.door.put(Incoming(event, name, "default", user, event, self.now, event, reply_to(name)))

    def _any_event(self) -> tuple[str, str] | None:
        """A conversation and an event of it, the newest as the tamest choice; None when nothing was said."""
        name = self._one_of(self._names)
        said = self.promises.accounts[name].said
        return (name, said[-1 - self.choices.below(len(said))]) if said else None

    # -- the model, its budget, the channels

    def _the_model_ends_a_call(self) -> bool:
        if not self.model.asked:
            return False
        ask = self.model.asked.pop(self.choices.below(len(self.model.asked)) if self.dangers.lateness else 0)
        result = self._result(ask)
        if not self.dangers.losses or not self.choices.weighted(_SELDOM):
            self._end_call(ask, result, 1 + (self.dangers.repeats and self.choices.weighted(_SELDOM)))
            return True
        self.needs_the_sweep = True
        if self.choices.weighted(_HALF):
            self._end_call(ask, result, 0)
        else:
            self.note(f"the model never hears of {ask.conversation} {ask.turn}.{ask.step}.{ask.attempt}")
        return True

    def _result(self, ask: Ask) -> ModelReply:
        outcome = self.choices.weighted(_OUTCOME)
        if outcome == 1 and self.dangers.long_answers:
            return self.model.answer(ask, pieces=3, seconds=70.0)
        if outcome == 2 and self.dangers.model_errors:
            return ModelReply(error="server error (500)")
        if outcome == 3 and self.dangers.model_errors:
            return ModelReply(error="client error (400)", permanent=True)
        return self.model.answer(ask)

    def _end_call(self, ask: Ask, result: ModelReply, copies: int) -> None:
        told = f"{result.error or 'an answer'}, {copies} notifications"
        self.note(f"the model ends {ask.conversation} {ask.turn}.{ask.step}.{ask.attempt}: {told}")
        self.model.finish(ask, result, copies)

    def _a_notification_comes(self) -> bool:
        if not self.model.air:
            return False
        self._arrive(self.choices.below(len(self.model.air)))
        return True

    def _arrive(self, index: int) -> None:
        self.sqs.send_message(QueueUrl="replies", MessageBody=self.model.air.pop(index))

    def _the_model_sleeps_or_wakes(self) -> None:
        self.own_guard.running = 1 - self.own_guard.running

    def _the_budget_changes(self) -> None:
        self.own_guard.until = 0.0 if self.own_guard.until else self.now + 5000.0
        self.note("the budget is " + ("used up" if self.own_guard.until else "raised"))

    def _a_channel_has_trouble(self) -> None:
        if self.choices.weighted(_HALF):
            self.platforms.refusing = 1
        else:
            self.platforms.busy = 1 + self.choices.below(3)

    # -- time

    def _time_passes(self) -> None:
        """Some seconds, or until just around the next deadline."""
        jump = self.choices.below(len(JUMPS) + len(AROUND))
        if jump < len(JUMPS):
            self.pass_time(JUMPS[jump])
        elif (due := self.table.next_deadline()) is not None:
            self.pass_time(max(0.0, due + AROUND[jump - len(JUMPS)] - self.now))

    # -- the end

    def _settle(self) -> None:
        """Everything comes to its end: first what the queues bring again, then what only the sweep finds."""
        self.scheduler.calm = True
        self.note("-- from here on nothing goes wrong")
        self.platforms.busy = self.platforms.refusing = 0
        self._run_dry()
        left = self.table.overdue(float("inf"), 1)
        if left and not self.needs_the_sweep:
            raise Broken("Answered", f"the queues bring again all that is needed, but {left} needs the sweep")
        for _ in range(MOST_SWEEPS):
            if not self.table.overdue(float("inf"), 1):
                return
            self.pass_time(LONGEST_PATIENCE)
            self.sweep()
            self._run_dry()
        raise Broken("Answered", f"{self.table.overdue(float('inf'), 1)} stays open for ever")

    def _run_dry(self) -> None:
        for _ in range(MOST_RETURNS):
            while self._go_on():
                pass
            if not any(self.sqs.size(queue) for queue in QUEUES):
                return
            self.pass_time(LONGEST_VISIBILITY)
        raise Broken("Answered", "the queues do not run dry")

    def _one_of(self, several: Sequence[T]) -> T:
        return several[self.choices.below(len(several))]
