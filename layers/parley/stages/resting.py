"""While the month's budget is used up, turns that would ask the model end with a notice in its place."""

from __future__ import annotations

from parley.domain import conversation as rules
from parley.domain import notices
from parley.domain.conversation import Change, Status
from parley.errors import StaleResult
from parley.ports import Ports
from parley.stages.committing import commit, say


def rest_if_closed(conversation: str, record: str, now: float, ports: Ports) -> bool:
    """End the turns whose model call this record's run owes, when the budget is used up; False when it is not."""
    if not ports.guard.closed(now):
        return False

    def decide() -> Change:
        found = ports.conversations.find(conversation)
        if found is None or found.status is not Status.THINKING or found.asked_by != record:
            raise StaleResult("no turn of this record waits for the model")
        notice = notices.resting(found.title)
        return rules.fail(found, "the month's budget is used up", notice, record, now, ports.patience)

    try:
        while True:
            change = commit(decide, now, ports)
            ports.telemetry.count("TurnsFailed")
            say(change, ports)
    except StaleResult:
        return True
