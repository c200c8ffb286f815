"""The system of a history: the real stages' runs over simulated ports, queues and a clock. It does what it is told to.

What happens, and in what order, is decided by the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from parley.aws.queues import SqsInbox, SqsOutbox
from parley.domain.budget import Budget
from parley.domain.conversation import Change
from parley.domain.limits import Limits, Policy
from parley.domain.turn import Ask, Patience, Turn
from parley.envelopes import read_failed, read_outbox
from parley.errors import ChannelBusy, Conflict, StaleResult
from parley.stages.answer_to_caller import look
from parley.stages.inbox_to_model import think
from parley.stages.model_to_outbox import reply
from parley.stages.outbox_to_channel import deliver
from parley.stages.overdue_turns import sweep
from parley.stages.waking_notice import tell_waking
from scripts.local.stand_in.sqs import Refused, Sqs
from tests.simulation.choices import Choices, Weights
from tests.simulation.dangers import Dangers
from tests.simulation.endings import Unavailable
from tests.simulation.ports import LaggingTable, Model, Platforms
from tests.simulation.promises import Promises
from tests.simulation.runs import Run, Scheduler
from tests.stages.world import Ledger, MemoryGuard, OneBot

QUEUES = {"inbox.fifo": "think", "replies": "reply", "outbox.fifo": "deliver"}
VISIBILITY = {"inbox.fifo": 180.0, "replies": 180.0, "outbox.fifo": 360.0}
DEAD_LETTERS = {"inbox.fifo": "inbox-dead.fifo", "replies": "replies-dead", "outbox.fifo": "outbox-dead.fifo"}
LIMITS = {"think": 30.0, "reply": 30.0, "deliver": 60.0, "sweep": 60.0, "look": 29.0}
"""Seconds that each function may run, as .chalice/config.json says."""
MOST_RECEIVES = 1000
"""Records are tried as often as it takes: what becomes of poison is shown elsewhere."""
SKEWS = (0.0, 2.0, -2.0, 45.0, -45.0)
EXPECTED = (Unavailable, ChannelBusy, Conflict, Refused)
"""How a stage may fail; anything else is a fault of the stage."""
LITTLE = Limits(requests_per_minute=2, tokens_per_day=1_000, turns_at_once=1)
BEGINNING = 1_700_000_000.0

_SELDOM = Weights(0.75, 0.25)


class System:
    """`Ports` and the functions behind them. `lines` tell what happens when `told`."""

    def __init__(self, choices: Choices, told: bool) -> None:
        self.lines: list[str] | None = [] if told else None
        self.now = BEGINNING
        self.choices = choices
        self.dangers = Dangers.draw(choices)
        self.scheduler = Scheduler(choices, self.dangers, self.note if told else None)
        self.sqs = Sqs(lambda: self.now)
        for name, seconds in VISIBILITY.items():
            self.sqs.create(DEAD_LETTERS[name])
            self.sqs.create(name, seconds, MOST_RECEIVES, DEAD_LETTERS[name])
        self.model = Model()
        self.platforms = Platforms()
        policy = Policy(LITTLE, LITTLE) if self.dangers.limits else Policy()
        self.table = LaggingTable(lambda: self.now, policy, self._lags)
        self.promises = Promises(self.table, self.model, self.platforms)
        self.needs_the_sweep = False
        """Something happened that no queue brings again."""
        self._begun = 0
        self._wire()

    def _wire(self) -> None:
        """The ports that stages see, with stopping points at what is a call to somewhere else."""
        port = self.scheduler.port
        table = port(
            "table", self.table, "load", "find", "mark", "turn", "turns", "message", "messages", "undeliverable",
            "postpone", "overdue",
        )  # fmt: skip
        table.commit = self.scheduler.call("table.commit", self._commit)
        table.tell_once = self.scheduler.call("table.tell_once", self._tell_once)
        table.sent = self.scheduler.call("table.sent", self._sent)
        self.conversations: Any = table
        self.allowances = self.table
        self.backend: Any = port("model", self.model, "result")
        self.backend.ask = self.scheduler.call("model.ask", self._ask)
        self.door = SqsInbox(self.sqs, "inbox.fifo", "inbox-dead.fifo")
        self.inbox: Any = port("inbox", self.door, "bury")
        self.outbox: Any = port("outbox", SqsOutbox(self.sqs, "outbox.fifo", "outbox-dead.fifo"), "put", "bury")
        self.channels: Any = self.platforms
        channel = port("channel", self.platforms)
        channel.send = self.scheduler.call("channel.send", self._send)
        self.platforms.sender = lambda _: channel
        self.telemetry = Ledger()
        self.bots = OneBot()
        self.patience = Patience(answer=120.0, delivery=60.0) if self.dangers.impatience else Patience()
        self.budget = Budget(limit=100.0, hourly=1.0)
        self.own_guard = MemoryGuard(running=1)
        self.guard: Any = port("guard", self.own_guard, "closed", "woke", "instances")

    # -- what calls do beside what they do

    def _commit(self, change: Change) -> None:
        self.table.commit(change)
        self.promises.at_commit(change)

    def _ask(self, ask: Ask, request: Mapping[str, Any]) -> None:
        self.model.ask(ask, request)
        self.promises.at_ask(ask, request)

    def _send(self, reply_to: Mapping[str, str], piece: str) -> str:
        id = self.platforms.send(reply_to, piece)
        run = self.scheduler.current
        if run is not None and run.kind == "deliver":
            run.unmarked = reply_to["thread"]
        return id

    def _sent(self, turn: Turn, pieces: int, done: bool, now: float) -> None:
        self.table.sent(turn, pieces, done, now)
        assert self.scheduler.current is not None
        self.scheduler.current.unmarked = None

    def _tell_once(self, turn: Turn) -> bool:
        told = self.table.tell_once(turn)
        self.promises.accounts[turn.conversation].told.update([turn.number] * told)
        return told

    def _lags(self) -> bool:
        return self.dangers.stale_index and not self.scheduler.calm and bool(self.choices.below(2))

    # -- time

    def pass_time(self, seconds: float) -> None:
        """The clock moves; runs whose time is up then are gone, but for zombies.

        Nobody is a zombie in deliver: its function's limit is a sixth of its queue's visibility timeout, and two runs
        that both send would be two windows.
        """
        self.now += seconds
        self.note(f"{seconds:g} seconds pass")
        for run in list(self.scheduler.alive):
            outlives = self.dangers.zombies and run.kind != "deliver"
            if not outlives and self.now - run.started > run.limit:
                self.kill(run)

    # -- runs

    def look(self, name: str, event: str) -> None:
        """Somebody asks how far a message has come, unless they wait for that already."""
        if not any(run.name == f"look {event}" for run in self.scheduler.alive):
            self._begin("look", f"look {event}", partial(self._read, name, event))

    def _read(self, name: str, event: str, run: Run) -> None:
        try:
            progress = look(name, event, self.conversations)
        except Unavailable:
            return
        self.promises.at_look(name, event, progress)

    def _begin(self, kind: str, name: str, body: Callable[[Run], None]) -> None:
        skew = SKEWS[self.choices.below(len(SKEWS))] if self.dangers.skew and not self.scheduler.calm else 0.0
        run = Run(kind, name, body, self.now, LIMITS[kind], skew)
        self.scheduler.start(run)
        self._account_for(run)

    def resume(self, run: Run) -> None:
        """Let a run go on until it stops again or ends."""
        self.scheduler.resume(run)
        self._account_for(run)

    def kill(self, run: Run) -> None:
        """A run that has stopped is gone."""
        self.scheduler.kill(run)
        self._account_for(run)

    def _account_for(self, run: Run) -> None:
        """What the death of a run allows."""
        if run.died:
            self.needs_the_sweep |= run.kind == "sweep"
            self._close_window(run)

    def _close_window(self, run: Run) -> None:
        if run.unmarked is not None:
            self.promises.accounts[run.unmarked].windows += 1
            run.unmarked = None

    def start(self, queue: str, count: int) -> bool:
        """A function is given records of its queue; False when there are none to be had."""
        found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=count).get("Messages")
        if not found:
            return False
        kind = QUEUES[queue]
        may_repeat = queue == "replies" and self.dangers.repeats and not self.scheduler.calm
        for _ in range(1 + (may_repeat and self.choices.weighted(_SELDOM))):
            self._begun += 1
            self._begin(kind, f"{kind} {self._begun}", partial(self._consume, queue, found))
        return True

    def _consume(self, queue: str, records: Sequence[Mapping[str, Any]], run: Run) -> None:
        """A batch, as Lambda and chalicelib.records handle it: what was done is deleted, the rest comes again."""
        handled: list[str] = []
        broken: set[str] = set()
        for record in records:
            group = record["Attributes"].get("MessageGroupId", record["MessageId"])
            if group in broken:
                continue
            try:
                self._handle(queue, record, self.now + run.skew)
            except EXPECTED as error:
                broken.add(group)
                self._close_window(run)
                self.note(f"{run.name} fails with {type(error).__name__}: {error}")
                continue
            handled.append(record["ReceiptHandle"])
        self.scheduler.stopping_point(f"{QUEUES[queue]}'s end")
        for handle in handled:
            self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)

    def _handle(self, queue: str, record: Mapping[str, Any], now: float) -> None:
        if queue == "inbox.fifo":
            think(record["MessageId"], record["Body"], now, self)
        elif queue == "replies":
            reply(record["MessageId"], record["Body"], now, self)
        else:
            try:
                deliver(record["Body"], now, self)
            except ChannelBusy as busy:
                self.outbox.delay(record["ReceiptHandle"], busy.retry_after)
                raise

    def sweep(self) -> None:
        """The schedule's minute."""
        self._begun += 1
        self._begin("sweep", f"sweep {self._begun}", self._watch)

    def _watch(self, run: Run) -> None:
        try:
            sweep(run.name, self.now + run.skew, self)
            tell_waking(self.now + run.skew, self)
        except (*EXPECTED, StaleResult):
            self.needs_the_sweep = True

    # -- what is left

    def letters(self) -> tuple[set[tuple[str, int]], set[tuple[str, int]], int]:
        """Conversation and turn of answers that were given up and of turns that failed; and how many other letters."""
        buried = {(record.conversation, record.turn) for record in map(read_outbox, self._take_all("outbox-dead.fifo"))}
        failed = [read_failed(body) for body in self._take_all("inbox-dead.fifo")]
        others = failed.count(None) + len(self._take_all("replies-dead"))
        return buried, {(letter.conversation, letter.turn) for letter in failed if letter is not None}, others

    def _take_all(self, queue: str) -> list[str]:
        """Every record of a queue, which then has none."""
        taken: list[str] = []
        while found := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            taken += [record["Body"] for record in found]
            for record in found:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=record["ReceiptHandle"])
        return taken

    def note(self, text: str) -> None:
        """A line of what happens."""
        if self.lines is not None:
            self.lines.append(f"{self.now - BEGINNING:9.1f}  {text}")
