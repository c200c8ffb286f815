"""What users have taken of their limits, in memory: the same conditions as the real ones. Its table locks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parley.aws.allowances import ENDS
from parley.domain.conversation import Change
from parley.domain.limits import MINUTE, Kind, Policy, Taken, day_of, exceeded, until
from parley.domain.turn import is_read_on_demand
from parley.errors import OverLimit


class MemoryAllowances:
    """A value for each user that has limits: of its newest day, with the requests of its newest minute."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._days: dict[str, tuple[str, Taken]] = {}
        self._minutes: dict[str, tuple[float, int]] = {}

    def admit(self, user: str, conversation: str, now: float, opens: bool = True) -> None:
        """One request more. Raises OverLimit."""
        self._take(user, conversation, now, counts=True, opens=opens)

    def go_with(self, change: Change) -> None:
        """Take and give back what belongs to a change. Raises OverLimit."""
        after, now = change.after, change.after.updated
        if not self._policy.of(after.user).any:
            return
        opens = change.opened is not None and change.over is None
        if change.over is not None and change.refusal is not None:
            if self._taken(after.user, now).told > now:
                raise OverLimit(replace(change.over, told=True))
            self._keep(after.user, now, told=max(change.over.until, until(Kind.REQUESTS, now)))
        elif opens:
            self._take(after.user, after.id, now, counts=not is_read_on_demand(after.id))
            self._keep(after.user, now, turns={*self._taken(after.user, now).turns, after.id})
        if change.updated is not None and change.updated.status in ENDS:
            usage = change.updated.usage or {}
            taken = self._taken(after.user, now)
            spent = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
            turns = taken.turns if opens else {*taken.turns} - {after.id}
            self._keep(after.user, now, tokens=taken.tokens + spent, turns=turns)

    def give_back(self, user: str, conversation: str, now: float) -> None:
        """The turn of a conversation that is deleted."""
        if self._policy.of(user).any:
            self._keep(user, now, turns={*self._taken(user, now).turns} - {conversation})

    def _taken(self, user: str, now: float) -> Taken:
        day, taken = self._days.get(user, ("", Taken()))
        minute, requests = self._minutes.get(user, (0.0, 0))
        return replace(taken if day == day_of(now) else Taken(), requests=requests if minute == now // MINUTE else 0)

    def _keep(self, user: str, now: float, **fields: Any) -> None:
        self._days[user] = (day_of(now), replace(self._taken(user, now), **fields))

    def _take(self, user: str, conversation: str, now: float, *, counts: bool, opens: bool = True) -> None:
        """Count a request, if there is room for it and, where it opens one, for a turn. Raises OverLimit."""
        taken = self._taken(user, now)
        limits = self._policy.of(user)
        over = exceeded(taken, limits, conversation, now, counts=counts, opens=opens)
        if over is not None:
            raise OverLimit(over)
        if counts and limits.any:
            self._minutes[user] = (now // MINUTE, taken.requests + 1)
