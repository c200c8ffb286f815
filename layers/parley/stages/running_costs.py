"""meter(): each minute of the model's instances is counted; a month that is used up ends at its limit, not after it.

At 80% the owner is told. At 100% the endpoint may have no instance until the month is over, and think() answers with
a notice in place of the model. What was asked before still runs, as far as an instance is there.
"""

from __future__ import annotations

from parley.domain.budget import Level, end_of_month, month_of
from parley.ports import Ports

TOLD = {
    Level.WARNED: "80% of the month's budget for the model is used: {spent:.2f} of {limit:.2f} USD.",
    Level.CLOSED: "The month's budget for the model is used up: {spent:.2f} of {limit:.2f} USD. The model rests until "
    "the month is over; a higher MonthlyBudget wakes it up.",
}


def meter(seconds: float, now: float, ports: Ports) -> None:
    """Count the `seconds` since the last call for each instance that runs, and do what follows from the sum."""
    budget, guard = ports.budget, ports.guard
    running = guard.instances()
    if running:
        ports.telemetry.count("InstanceSeconds", running * seconds, "Seconds")
    if budget.limit <= 0:
        if guard.resting():
            guard.open()  # the limit was taken away
        return
    month = month_of(now)
    used, told = guard.add(month, running * seconds)
    level = budget.level(used)
    if level is Level.CLOSED:
        if running or not guard.closed(now):  # an instance that runs: the run that closed may have died half-way
            guard.close(end_of_month(now))
    elif guard.resting():
        guard.open()  # another month, or a higher limit
    if level > told:
        spent = budget.spent(used)
        guard.tell(month, level, TOLD[level].format(spent=spent, limit=budget.limit))
        ports.telemetry.warn("budget", level=level.name.lower(), spent=round(spent, 2), limit=budget.limit)
