"""What can go wrong in a history. Each history has some of it only: a fault shows best where others do not hide it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tests.simulation.choices import Choices, Weights


@dataclass(frozen=True)
class Dangers:
    """Which faults a history may have, and which of its users' habits."""

    races: bool
    """Runs stop at any call while others go on."""
    deaths: bool
    """A process dies before or after any call, or at its function's time limit."""
    refusals: bool
    """A call fails before it acts."""
    lost_answers: bool
    """A call acts, and its caller hears of a failure."""
    zombies: bool
    """A run of think, reply or sweep goes on though its records have been given to another run."""
    losses: bool
    """Notifications never come, requests to the model run into the void."""
    repeats: bool
    """Notifications, records of the standard queue and webhooks come more than once."""
    lateness: bool
    """Notifications come in any order, at any time."""
    skew: bool
    """Each run reads another clock."""
    model_errors: bool
    """The model fails, for now or for good."""
    long_answers: bool
    """Answers take several pieces, and a wake-up."""
    channel_trouble: bool
    """Channels ask for patience, or refuse for good."""
    cancels: bool
    """Users take messages back, and stop turns."""
    deletions: bool
    """Users of the page delete their conversation, and write on in another window."""
    budget: bool
    """The month's budget is used up, and raised again."""
    stale_index: bool
    """The sweep's index shows what was true a while ago."""
    limits: bool
    """Users may hardly take anything of the model."""
    impatience: bool
    """Deadlines are so short that the sweep runs into everything."""
    floods: bool
    """A user writes fifty messages at once."""

    @classmethod
    def draw(cls, choices: Choices) -> Dangers:
        """A mixture."""
        return cls(*(bool(choices.weighted(LIKELY.get(f.name, EVEN))) for f in fields(cls)))


EVEN = Weights(0.55, 0.45)
LIKELY = {"races": Weights(0.3, 0.7), "limits": Weights(0.75, 0.25), "floods": Weights(0.98, 0.02)}
