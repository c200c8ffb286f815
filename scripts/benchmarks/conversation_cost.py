"""What one more turn costs in a conversation of N messages: AWS requests, units of DynamoDB, the functions' own time.

Requests and units are those of the deployed functions over moto in this process, counted at botocore; units are AWS's
arithmetic over the items' sizes (strongly consistent reads by 4 KB, transactional writes twice by 1 KB). The time is
the functions' own on the processor, over the stand-ins, since moto looks through every item for a query.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
from moto import mock_aws

from parley.aws import items
from parley.aws.table import Table
from parley.domain import conversation as rules
from parley.domain import prompt
from parley.domain.message import Incoming
from parley.domain.turn import ModelReply, Patience
from scripts.benchmarks.handler_time import one_turn
from scripts.benchmarks.request_meters import SendMeter, TableMeter
from scripts.benchmarks.slack_webhooks import SlackSide, message
from scripts.local.stand_in.runtime import REGION, StandInWiring
from scripts.local.stand_in.table import MemoryTable

LENGTHS = (10, 40, 100, 300, 1000, 2000, 5000)
RESOURCES = Path(__file__).parents[2] / "chalice-app/.chalice/resources.json"
THREAD = "1.000001"
CONVERSATION = f"slack:T1:C1/{THREAD}"
WORDS = "It starts with one command, and nothing has to be installed before that. "
"""About what people write in a message."""


@dataclass(frozen=True)
class Cost:
    """One more turn: requests to AWS, read and write units of the table, milliseconds of processor time."""

    messages: int
    requests: float
    read_units: float
    write_units: float
    milliseconds: float


def measure(lengths: Sequence[int] = LENGTHS, turns: int = 5) -> list[Cost]:
    """The cost of one more turn at each length; the mean of `turns`, the median of their time."""
    found = []
    with SlackSide() as slack, contextlib.redirect_stdout(io.StringIO()), _moto():
        for length in lengths:
            filled = fill(length)
            requests, reads, writes = _counted(filled, slack, turns)
            times = _timed(filled, slack, turns * 8)[turns:]  # the first ones warm up
            found.append(Cost(length, requests / turns, reads / turns, writes / turns, statistics.median(times)))
    return found


def fill(length: int) -> MemoryTable:
    """A table with one conversation of so many messages, turn by turn as they would have come."""
    table, patience = MemoryTable(), Patience()
    for number in range(1, length // 2 + 1):
        said = Incoming(
            event=f"C1:{number}", conversation=CONVERSATION, bot="default", user="slack:T1:U1", text=WORDS,
            received=time.time(), trace="t", reply_to={"channel": "C1", "thread_ts": THREAD},
        )  # fmt: skip
        table.commit(rules.accept(table.find(CONVERSATION), said, "r", time.time(), patience))
        state = table.find(CONVERSATION)
        if state is None:
            raise RuntimeError("a conversation that was written is not there")
        table.commit(rules.answer(state, number, 1, ModelReply(WORDS * 2), "r", time.time(), patience))
        turn = table.turn(CONVERSATION, number)
        if turn is not None:
            table.sent(turn, 1, True, time.time())
    return table


@contextlib.contextmanager
def _moto() -> Iterator[None]:
    """Moto in this process; no account can be reached."""
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": REGION}
    try:
        with mock_aws():
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _counted(filled: MemoryTable, slack: SlackSide, turns: int) -> tuple[int, int, int]:
    """Requests, read and write units of so many more turns over the deployed table adapter."""
    client = boto3.client("dynamodb")
    name = f"parley-{len(client.list_tables()['TableNames'])}"
    properties = json.loads(RESOURCES.read_text())["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    client.create_table(TableName=name, **{key: properties[key] for key in wanted})
    shelf = filled.all()[CONVERSATION]
    if shelf.state is None:
        raise RuntimeError("the conversation is empty")
    rows = [items.from_conversation(shelf.state)]
    rows += [items.from_message(CONVERSATION, said) for said in shelf.messages.values()]
    rows += [items.from_turn(turn) for turn in shelf.turns.values()]
    rows += [items.from_mark(CONVERSATION, mark) for mark in shelf.marks.values()]
    for start in range(0, len(rows), 25):
        requests = [{"PutRequest": {"Item": row}} for row in rows[start : start + 25]]
        client.batch_write_item(RequestItems={name: requests})
    parts = _parts(slack)
    others = SendMeter(parts)
    meter = TableMeter(client, name)
    parts.conversations = Table(client, name, time.time)  # type: ignore[assignment]
    _turns(parts, turns)
    parts.endpoint.stop()
    return meter.requests + others.requests, meter.reads, meter.writes


def _timed(filled: MemoryTable, slack: SlackSide, turns: int) -> list[float]:
    """Milliseconds of the functions behind the inbox, of so many more turns over the stand-ins."""
    parts = _parts(slack)
    parts.conversations = filled
    times = _turns(parts, turns)
    parts.endpoint.stop()
    return times


def _turns(parts: StandInWiring, turns: int) -> list[float]:
    """Milliseconds of the functions behind the inbox, turn by turn."""
    import app

    times = []
    for number in range(1, turns + 1):
        own = one_turn(app, parts, message(THREAD, number, "U1", WORDS), time.thread_time)
        times.append(sum(own.values()) - own["receive"])
    return times


def _parts(slack: SlackSide) -> StandInWiring:
    from chalicelib import wiring

    parts = StandInWiring(secrets={"bots/default/slack": slack.secret})
    wiring.use(parts)
    return parts


def bounded(costs: Sequence[Cost]) -> bool:
    """Whether a turn's requests and units are the same in every conversation that fills the window of messages."""
    full = [cost for cost in costs if cost.messages >= prompt.HISTORY_MESSAGES]
    same = {(cost.requests, cost.read_units, cost.write_units) for cost in full}
    return len(same) == 1 and all(cost.requests == full[0].requests for cost in costs)
