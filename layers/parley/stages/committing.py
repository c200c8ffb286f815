"""Read, decide, write: once more when somebody else wrote first. Knows the table only as a port."""

from __future__ import annotations

from collections.abc import Callable

from parley.domain import conversation as rules
from parley.domain.conversation import Change
from parley.domain.limits import Over
from parley.errors import Conflict, OverLimit
from parley.ports import Ports

TRIES = 8


def commit(decide: Callable[[], Change], now: float, ports: Ports) -> Change:
    """The change that was written; `decide` reads and decides afresh at each try.

    Where its user is over a limit, the turn that it opens ends at once. Raises what `decide` raises, AlreadySeen, and
    Conflict when the conversation moved under every try.
    """
    over: Over | None = None
    lost = Conflict("the user's limits moved under every try")
    for _ in range(TRIES):
        change = decide()
        if over is not None:
            change = rules.refuse(change, over, now, ports.patience)
        try:
            ports.conversations.commit(change)
        except OverLimit as limit:
            over = limit.over
        except Conflict as conflict:
            lost = conflict
        else:
            _report(change, ports)
            return change
    raise lost


def say(change: Change, ports: Ports) -> None:
    """Queue what the change sends out, in its order."""
    for outgoing in (change.say, change.refusal):
        if outgoing is not None:
            ports.outbox.put(outgoing)


def _report(change: Change, ports: Ports) -> None:
    if change.over is None:
        return
    ports.telemetry.count("TurnsRefused")
    ports.telemetry.note(
        "turn refused", turn=change.after.turn, user=change.after.user, limit=change.over.kind,
        told=change.refusal is not None,
    )  # fmt: skip
