"""Runs of stages as greenlets: each stops at calls of its ports, where the scheduler lets others go on, or ends it.

A call can fail before it acts or after it, and the process can die there. What one run does is decided by the
history's choices; what the stages do is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import greenlet

from parley.errors import ChannelBusy
from tests.simulation.choices import Choices, Weights
from tests.simulation.dangers import Dangers
from tests.simulation.endings import Died, Unavailable

GO_ON, STOP, DIE, REFUSE, LOSE_THE_ANSWER = range(5)


SHOWN = (
    "status", "turn", "number", "step", "attempt", "sequence", "pending", "version", "sent", "before", "event", "text",
    "stage",
)  # fmt: skip
"""What a line tells of a value."""


class Run:
    """One invocation of a function, or one reader. `skew` is how far its clock is off; `limit` its time, in seconds.

    Exceptions other than Died go through to the scheduler.
    """

    def __init__(
        self, kind: str, name: str, body: Callable[[Run], None], started: float, limit: float, skew: float
    ) -> None:
        self.thread: Any = greenlet(self._work)
        self.kind = kind
        self.name = name
        self.started = started
        self.limit = limit
        self.skew = skew
        self.at = "its beginning"
        self.died = ""
        self.unmarked: str | None = None
        """The conversation to which a piece went that is not marked as sent."""
        self._body = body

    def _work(self) -> None:
        try:
            self._body(self)
        except Died:
            self.died = self.at


class Scheduler:
    """Lets runs go on, one at a time, and decides what becomes of each call."""

    def __init__(self, choices: Choices, dangers: Dangers, note: Callable[[str], None] | None) -> None:
        self.alive: list[Run] = []
        self.current: Run | None = None
        self.calm = False
        """Nothing goes wrong any more, and nobody stops."""
        self.calls = 0
        self.deaths: list[Run] = []
        self.note = note
        self._choices = choices
        self._fates = Weights(
            1.0, 0.5 * dangers.races, 0.05 * dangers.deaths, 0.04 * dangers.refusals, 0.04 * dangers.lost_answers
        )

    def start(self, run: Run) -> None:
        """Begin a run, which goes on until it stops or ends."""
        if self.note:
            self.note(f"{run.name} begins" + (f", its clock {run.skew:+g} s" if run.skew else ""))
        self.alive.append(run)
        self.resume(run)

    def resume(self, run: Run) -> None:
        """Let a run go on until it stops again or ends."""
        self.current = run
        try:
            run.thread.switch()
        finally:
            self.current = None
        self._look_after(run)

    def kill(self, run: Run) -> None:
        """A run that has stopped is gone."""
        run.thread.throw(Died)
        self._look_after(run)

    def _look_after(self, run: Run) -> None:
        if not run.thread.dead:
            return
        self.alive.remove(run)
        if run.died:
            self.deaths.append(run)
            if self.note:
                self.note(f"{run.name} dies at {run.died}")

    def stopping_point(self, name: str) -> int:
        """The current run is at a call: come back with what becomes of the call, after others went on or not.

        Raises Died.
        """
        self.calls += 1
        run = self.current
        if self.calm or run is None:
            return GO_ON
        run.at = name
        fate = self._choices.weighted(self._fates)
        if fate == STOP:
            run.thread.parent.switch()
            return GO_ON
        if fate == DIE:
            raise Died
        return fate

    def port(self, name: str, target: Any, *methods: str) -> Any:
        """What `target` is, with stopping points at these methods; the others act at once."""
        return _Port(self, name, target, methods)

    def call(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act`, with a stopping point before it."""
        failure = ChannelBusy("no connection", 1.0) if name == "channel.send" else Unavailable(name)

        def acts(*args: Any, **kwargs: Any) -> Any:
            fate = self.stopping_point(name)
            if fate == REFUSE:
                if self.note:
                    self.note(f"{self._who()} {name} fails before it acts")
                raise failure
            result = self._told(name, act, args, kwargs) if self.note else act(*args, **kwargs)
            if fate == LOSE_THE_ANSWER:
                if self.note:
                    self.note(f"{self._who()} {name} acted, and its answer is lost")
                raise failure
            return result

        return acts

    def _told(self, name: str, act: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        assert self.note is not None
        try:
            result = act(*args, **kwargs)
        except Exception as error:
            self.note(f"{self._who()} {name} raises {type(error).__name__}")
            raise
        self.note(f"{self._who()} {name}{_shown(args)}{'' if result is None else ' -> ' + _short(result)}")
        return result

    def _who(self) -> str:
        return self.current.name if self.current is not None else ""


class _Port:
    """A target's methods, some of them with stopping points."""

    def __init__(self, scheduler: Scheduler, name: str, target: Any, methods: tuple[str, ...]) -> None:
        self._target = target
        for method in methods:
            setattr(self, method, scheduler.call(f"{name}.{method}", getattr(target, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


def _shown(args: tuple[Any, ...]) -> str:
    """A call's arguments, as far as a line has room for them."""
    return f"({', '.join(_short(argument) for argument in args)})"


def _short(value: Any) -> str:
    match value:
        case str() | int() | float() | None:
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_short(entry) for entry in value[-3:])}]"
    kept = {name: getattr(value, name, None) for name in SHOWN}
    kept = {name: found for name, found in kept.items() if isinstance(found, str | int)}
    after = getattr(value, "after", None)
    inner = f" {_short(after)}" if after is not None else ""
    return f"{type(value).__name__}({', '.join(f'{name}={found}' for name, found in kept.items())}){inner}"
