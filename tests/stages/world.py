"""A small world for the stages: stand-in queues and table, a model and a channel that tests steer, one virtual clock.

Every call that a stage makes goes through `Fallible`, which can let the process die before or after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from parley.aws.queues import SqsInbox, SqsOutbox
from parley.domain.bot import Bot
from parley.domain.budget import Budget, Level
from parley.domain.limits import Policy
from parley.domain.message import Cancel, Incoming
from parley.domain.turn import Ask, ModelReply, Patience
from parley.errors import ChannelBusy
from parley.stages.inbox_to_model import think
from parley.stages.model_to_outbox import reply
from parley.stages.outbox_to_channel import deliver
from parley.stages.overdue_turns import sweep
from scripts.local.stand_in.sqs import Sqs
from scripts.local.stand_in.table import MemoryTable

QUEUES = ("inbox.fifo", "replies", "outbox.fifo")
VISIBILITY = 60.0
PATIENCE = Patience(answer=600, attempts=2, delivery=300, deliveries=100)


class Died(BaseException):
    """The process is gone: no `except Exception` of the code sees it."""


class Fallible:
    """Passes calls on; dies at the call that `World.die_at` names, before or after it acts."""

    def __init__(self, world: World, name: str, target: Any) -> None:
        self._world, self._name, self._target = world, name, target

    def __getattr__(self, method: str) -> Callable[..., Any]:
        act = getattr(self._target, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._world.step(f"{self._name}.{method}", "before")
            result = act(*args, **kwargs)
            self._world.step(f"{self._name}.{method}", "after")
            return result

        return call


class Model:
    """A backend whose results the test hands out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[tuple[Ask, Mapping[str, Any]]] = []
        self.results: dict[str, ModelReply] = {}

    def ask(self, ask: Ask, request: Mapping[str, Any]) -> None:
        self.asked.append((ask, request))

    def finish(self, ask: Ask, result: ModelReply, notify: bool = True) -> None:
        """The model is done with a call: the result lies in its bucket, and the notification goes out or is lost."""
        self.results.setdefault(ask.inference_id, result)
        if notify:
            body = json.dumps({"ask": asdict(ask), "reply": asdict(self.results[ask.inference_id])})
            self._world.sqs.send_message(QueueUrl="replies", MessageBody=body)

    def read(self, notification: str) -> tuple[Ask, ModelReply]:
        fields = json.loads(notification)
        return Ask(**fields["ask"]), ModelReply(**fields["reply"])

    def result(self, ask: Ask) -> ModelReply | None:
        return self.results.get(ask.inference_id)

    def awake(self) -> bool:
        return True


@dataclass
class Platform:
    """A channel that keeps what it was sent; `busy` calls are refused first."""

    name: str = "slack"
    sent: list[tuple[str, str]] = field(default_factory=list)
    busy: int = 0
    refusal: Exception | None = None
    piece_characters: int = 40

    def pieces(self, text: str) -> list[str]:
        size = self.piece_characters
        return [text[start : start + size] for start in range(0, len(text), size)]

    def send(self, reply_to: Mapping[str, str], piece: str) -> str:
        if self.busy:
            self.busy -= 1
            raise ChannelBusy("429", 5.0)
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((reply_to["channel"], piece))
        return str(len(self.sent))


@dataclass
class Ledger:
    """Telemetry that tests can read."""

    counts: dict[str, float] = field(default_factory=dict)

    def follow(self, trace: str, conversation: str) -> None: ...

    def count(self, metric: str, value: float = 1, unit: str = "Count") -> None:
        self.counts[metric] = self.counts.get(metric, 0) + value

    def note(self, event: str, **facts: Any) -> None: ...

    def warn(self, event: str, **facts: Any) -> None: ...


class OneBot:
    """The default bot."""

    def get(self, name: str) -> Bot | None:
        return Bot("default", "Be kind.") if name == "default" else None

    def names(self) -> list[str]:
        return ["default"]


@dataclass
class MemoryGuard:
    """A guard that keeps everything here; `running` instances are the test's to set."""

    running: int = 0
    until: float = 0.0
    stopped: bool = False
    """Whether the endpoint may have no instance; the flag `until` is written before that, and taken back after."""
    used: dict[str, float] = field(default_factory=dict)
    levels: dict[str, Level] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    wake_ups: list[float] = field(default_factory=list)

    def woke(self, seconds: float, now: float) -> None:
        self.wake_ups.append(seconds)

    def estimate(self) -> float | None:
        return sorted(self.wake_ups)[len(self.wake_ups) // 2] if self.wake_ups else None

    def closed(self, now: float) -> bool:
        return now < self.until

    def resting(self) -> bool:
        return self.until > 0

    def instances(self) -> int:
        return 0 if self.stopped else self.running

    def add(self, month: str, seconds: float) -> tuple[float, Level]:
        self.used[month] = self.used.get(month, 0.0) + seconds
        return self.used[month], self.levels.get(month, Level.OPEN)

    def tell(self, month: str, level: Level, text: str) -> None:
        self.levels[month] = level
        self.told.append(text)

    def close(self, until: float) -> None:
        self.until = until
        self.stopped = True

    def open(self) -> None:
        self.stopped = False
        self.until = 0.0


class World:
    """`Ports`, the queues behind them, and the pumps that carry records to the stages."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = 1_000_000.0
        self.steps: list[str] = []
        self.die_at: tuple[int, str] | None = None
        self.death = ""
        self.last_sent_to = ""
        self.sqs = Sqs(lambda: self.now)
        self.sqs.create("inbox-dead.fifo")
        self.sqs.create("outbox-dead.fifo")
        self.sqs.create("replies-dead")
        self.sqs.create("inbox.fifo", VISIBILITY, 50, "inbox-dead.fifo")
        self.sqs.create("outbox.fifo", VISIBILITY, 50, "outbox-dead.fifo")
        self.sqs.create("replies", VISIBILITY, 50, "replies-dead")
        self.front = SqsInbox(self.sqs, "inbox.fifo", "inbox-dead.fifo")
        self.table = self.allowances = MemoryTable(lambda: self.now, policy)
        self.model = Model(self)
        self.platform = Platform()
        self.telemetry = Ledger()
        self.bots = OneBot()
        self.patience = PATIENCE
        self.budget = Budget(limit=100.0, hourly=1.0)
        self.guard = MemoryGuard()

    @cached_property
    def conversations(self) -> Any:
        return Fallible(self, "table", self.table)

    @cached_property
    def backend(self) -> Any:
        return Fallible(self, "model", self.model)

    @cached_property
    def inbox(self) -> Any:
        return Fallible(self, "inbox", self.front)

    @cached_property
    def outbox(self) -> Any:
        return Fallible(self, "outbox", SqsOutbox(self.sqs, "outbox.fifo", "outbox-dead.fifo"))

    @property
    def channels(self) -> Any:
        return self

    def get(self, channel: str, bot: str) -> Any:
        return Fallible(self, "channel", self.platform) if channel == self.platform.name else None

    def step(self, call: str, side: str) -> None:
        """Note a call; die when it is the one."""
        if side == "before":
            self.steps.append(call)
        if self.die_at == (len(self.steps), side):
            self.die_at = None
            self.death = f"{side} {call}"
            self.last_sent_to = self.platform.sent[-1][0] if self.platform.sent else ""
            raise Died(self.death)

    # -- what happens

    def say(
        self, event: str, text: str, conversation: str = "slack:T1:C1/1.0", user: str = "slack:T1:U1", **more: Any
    ) -> Incoming:
        """A user's message reaches the inbox."""
        incoming = Incoming(
            event=event, conversation=conversation, bot="default", user=user, text=text, received=self.now,
            trace=f"trace-{event}", reply_to={"channel": conversation}, **more,
        )  # fmt: skip
        self.front.put(incoming)
        return incoming

    def cancel(
        self, conversation: str = "slack:T1:C1/1.0", *, turn: int | None = None, event: str | None = None
    ) -> None:
        """A user's wish to stop reaches the inbox."""
        self.front.put(Cancel(f"c{len(self.steps)}-{self.now}", conversation, "trace-cancel", turn, event))

    def pump(self, queue: str, count: int = 1) -> int:
        """Hand up to `count` records to the queue's stage, as the event source does; how many were handled well.

        What fails stays in flight until its visibility timeout. On a FIFO queue nothing behind it is handled.
        """
        handled = 0
        broken: set[str] = set()
        found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=count).get("Messages", [])
        for record in found:
            group = record["Attributes"].get("MessageGroupId", record["MessageId"])
            if group in broken:
                continue
            try:
                self._handle(queue, record)
            except Died:
                return handled
            except ChannelBusy:
                broken.add(group)
                continue
            self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=record["ReceiptHandle"])
            handled += 1
        return handled

    def take_all(self, queue: str) -> list[dict[str, Any]]:
        """Every record of a queue, which then has none."""
        taken: list[dict[str, Any]] = []
        while found := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            for record in found:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=record["ReceiptHandle"])
            taken += found
        return taken

    def sweep(self) -> None:
        """The schedule's minute."""
        sweep(f"sweep-{self.now}", self.now, self)

    def pass_time(self, seconds: float) -> None:
        """The clock moves."""
        self.now += seconds

    def settle(self) -> None:
        """Let everything come to its end, with the sweep's help."""
        for _ in range(50):
            self.run_dry()
            if not self.table.overdue(float("inf"), 1):
                return
            self.pass_time(PATIENCE.answer)
            self.sweep()
        raise AssertionError("a turn stays open for ever")

    def run_dry(self) -> None:
        """The model answers what it was asked, and every record is handled, however often it takes; no sweep."""
        for _ in range(200):
            self.everything_moves()
            if not any(self.sqs.size(queue) for queue in QUEUES):
                return
            self.pass_time(VISIBILITY + 1)
        raise AssertionError("the queues do not run dry")

    def everything_moves(self) -> None:
        """The model answers, and stages handle all they can get, until nothing moves."""
        self.answer_all()
        while sum(self.pump(queue, 10) for queue in QUEUES):
            self.answer_all()

    def answer_all(self) -> None:
        """The model finishes whatever it has not finished."""
        for ask, _ in list(self.model.asked):
            if ask.inference_id not in self.model.results:
                self.model.finish(ask, ModelReply(text=f"answer to turn {ask.turn}"))

    def _handle(self, queue: str, record: Mapping[str, Any]) -> None:
        if queue == "inbox.fifo":
            think(record["MessageId"], record["Body"], self.now, self)
        elif queue == "replies":
            reply(record["MessageId"], record["Body"], self.now, self)
        else:
            try:
                deliver(record["Body"], self.now, self)
            except ChannelBusy as busy:
                self.outbox.delay(record["ReceiptHandle"], busy.retry_after)
                raise
