"""What users have taken of their limits, in memory: the same conditions as the real ones. Its table locks for it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from parley.aws.allowances import ENDS
from parley.domain.conversation import Change
from parley.domain.limits import MINUTE, Kind, Policy, Taken, day_of, exceeded, until
from parley.domain.turn import is_read_on_demand
from parley.errors import OverLimit


class MemoryAllowances:
    """A value for each user and day; requests of past minutes are let go when the next one counts."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._days: defaultdict[tuple[str, str], Taken] = defaultdict(Taken)
        self._minutes: defaultdict[tuple[str, float], int] = defaultdict(int)

    def admit(self, user: str, conversation: str, now: float) -> None:
        """One request more. Raises OverLimit."""
        self._refuse(user, conversation, now, counts=True)
        self._minutes[user, now // MINUTE] += 1

    def go_with(self, change: Change) -> None:
        """Take and give back what belongs to a change. Raises OverLimit."""
        after, now = change.after, change.after.updated
        user = after.user
        taken = self._taken(user, now)
        if change.over is not None and change.refusal is not None:
            if taken.told > now:
                raise OverLimit(replace(change.over, told=True))
            taken = replace(taken, told=max(change.over.until, until(Kind.REQUESTS, now)))
        elif change.opened is not None and change.over is None:
            counts = not is_read_on_demand(after.id)
            self._refuse(user, after.id, now, counts=counts)
            self._minutes[user, now // MINUTE] += counts
            taken = replace(taken, turns={*taken.turns, after.id})
        if change.updated is not None and change.updated.status in ENDS:
            usage = change.updated.usage or {}
            spent = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
            still = change.opened is not None and change.over is None
            taken = replace(
                taken, tokens=taken.tokens + spent, turns=taken.turns if still else {*taken.turns} - {after.id}
            )
        self._days[user, day_of(now)] = taken

    def give_back(self, user: str, conversation: str, now: float) -> None:
        """The turn of a conversation that is deleted."""
        taken = self._taken(user, now)
        self._days[user, day_of(now)] = replace(taken, turns={*taken.turns} - {conversation})

    def _taken(self, user: str, now: float) -> Taken:
        return replace(self._days[user, day_of(now)], requests=self._minutes[user, now // MINUTE])

    def _refuse(self, user: str, conversation: str, now: float, *, counts: bool) -> None:
        limits = self._policy.of(user)
        over = exceeded(self._taken(user, now), limits, conversation, now, counts=counts, opens=True)
        if over is not None:
            raise OverLimit(over)
