"""What can go wrong at one call: its name on the command line, and what the proxy does there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Effect(Enum):
    """What the caller meets."""

    DIE = auto()
    """Its process is killed while it waits for the answer."""
    HANG = auto()
    """No answer comes, nor to the retries of the SDK: it runs into its time-outs, the function perhaps into its own."""
    CLOSE = auto()
    """The connection is closed in place of an answer."""
    ERROR = auto()
    """Status 500."""
    THROTTLE = auto()
    """The service's own way to say: too many requests."""
    TWICE = auto()
    """The request is acted on twice, and what the second time gave is answered."""
    LATE = auto()
    """No answer comes in time; the request acts when the invocation is over."""


@dataclass(frozen=True)
class Fault:
    """An effect at one call. `acted`: the service has acted by then. `always`: also at the call's repeats, for as long
    as the invocation lasts, so that the SDK's retries fail with it."""

    name: str
    says: str
    effect: Effect
    acted: bool = False
    always: bool = False


FAULTS = (
    Fault("die-before", "the process dies before the call acts", Effect.DIE),
    Fault("die-after", "the process dies after the call acted", Effect.DIE, acted=True),
    Fault("hang-before", "no answer ever, and no act: time-outs, of the function too", Effect.HANG, always=True),
    Fault("hang-after", "no answer ever, though each try acts", Effect.HANG, acted=True, always=True),
    Fault("refuse", "the connection is closed before the call acts", Effect.CLOSE),
    Fault("refuse-always", "the same at every retry of the invocation", Effect.CLOSE, always=True),
    Fault("drop", "the call acts, its answer is lost", Effect.CLOSE, acted=True),
    Fault("drop-always", "the same at every retry of the invocation", Effect.CLOSE, acted=True, always=True),
    Fault("500", "status 500, and no act", Effect.ERROR),
    Fault("500-always", "the same at every retry of the invocation", Effect.ERROR, always=True),
    Fault("500-acted", "status 500, though the call acts", Effect.ERROR, acted=True),
    Fault("throttle", "too many requests, once", Effect.THROTTLE),
    Fault("throttle-always", "the same at every retry of the invocation", Effect.THROTTLE, always=True),
    Fault("twice", "the request is acted on twice", Effect.TWICE, acted=True),
    Fault("late", "no answer in time; the request acts after the invocation", Effect.LATE, acted=True),
)
"""Everything that is done at each call."""

DEATHS = tuple(fault for fault in FAULTS if fault.effect is Effect.DIE)
