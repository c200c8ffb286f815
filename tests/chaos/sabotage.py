"""Breaks the product where the proof must notice: each way at the point where it shows. Prints what was found.

A process of its own, because moto's replacements are for good: `python -m tests.chaos.sabotage`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from parley.aws import items, queues
from parley.stages import inbox_to_model, model_to_outbox
from tests.chaos import runs


@dataclass(frozen=True)
class Sabotage:
    """`owner.name` is replaced; the point is the last call of that name that the stage makes in the scenario."""

    owner: Any
    name: str
    replacement: Callable[..., Any]
    scenario: str
    stage: str
    call: str
    fault: str


def _forgetful_turn(item: Any, original: Callable[[Any], Any] = items.to_turn) -> Any:
    return replace(original(item), sent=0)


def _careless_send(*arguments: Any, original: Callable[..., None] = queues._send) -> None:
    try:
        original(*arguments)
    except Exception:
        return


SABOTAGES = {
    "pieces that were marked are sent again": Sabotage(
        items, "to_turn", _forgetful_turn, "pieces", "deliver", "slack.chat.postMessage", "die-before"
    ),
    "a repeated message does not make the call that its run owes": Sabotage(
        inbox_to_model, "finish_earlier_run", lambda *_: None, "slack", "think", "dynamodb.TransactWriteItems",
        "die-after",
    ),
    "a repeated result does not queue what its run owes": Sabotage(
        model_to_outbox, "_finish_earlier_run", lambda *_: None, "slack", "reply", "dynamodb.TransactWriteItems",
        "die-after",
    ),
    "a message is acknowledged that no queue has": Sabotage(
        queues, "_send", _careless_send, "slack", "receive", "sqs.SendMessage", "500-always"
    ),
}  # fmt: skip


@contextmanager
def _done(sabotage: Sabotage) -> Iterator[None]:
    original = getattr(sabotage.owner, sabotage.name)
    setattr(sabotage.owner, sabotage.name, sabotage.replacement)
    try:
        yield
    finally:
        setattr(sabotage.owner, sabotage.name, original)


def main() -> int:
    """Print {what was sabotaged: what was found without it and with it} as JSON."""
    world = runs.prepare()
    found: dict[str, list[tuple[str, ...]]] = {}
    for says, sabotage in SABOTAGES.items():
        scenario = runs.find(sabotage.scenario)
        points = [
            point
            for point in runs.points(scenario.name, runs.run(world, scenario).calls)
            if (point.stage, point.call.name, point.fault) == (sabotage.stage, sabotage.call, sabotage.fault)
        ]
        healthy = runs.run(world, scenario, points[-1]).broken
        with _done(sabotage):
            found[says] = [healthy, runs.run(world, scenario, points[-1]).broken]
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
