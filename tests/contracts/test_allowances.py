"""What users may take, held against DynamoDB's adapter and the stand-in alike: never more, however many at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from parley.aws.allowances import Allowances
from parley.aws.table import Table
from parley.domain import conversation as rules
from parley.domain.conversation import Change
from parley.domain.limits import Kind, Limits, Over, Policy
from parley.domain.message import Incoming
from parley.domain.turn import ModelReply, Patience, TurnStatus
from parley.errors import AlreadySeen, Conflict, OverLimit
from scripts.local.stand_in.table import MemoryTable
from tests.contracts.conftest import Clock, OneAtATime, create_table

PATIENCE = Patience()
USED = {"prompt_tokens": 60, "completion_tokens": 40, "compute_ms": 5}


class Both:
    """A table, and the door in front of it."""

    def __init__(self, table: Any, door: Any, clock: Clock) -> None:
        self.table, self.door, self.clock = table, door, clock

    def accept(
        self, conversation: str, event: str = "e1", user: str = "slack:T1:U1", over: Over | None = None
    ) -> Change:
        """A message of the user's is stored; with `over`, its turn is refused."""
        message = Incoming(event, conversation, "default", user, "hello", 1.0, "t", {"channel": "C"})
        for _ in range(30):
            state, _ = self.table.load(conversation, 1)
            change = rules.accept(state, message, "r", self.clock.now, PATIENCE)
            change = rules.refuse(change, over, self.clock.now, PATIENCE) if over else change
            try:
                self.table.commit(change)
                return change
            except Conflict:
                continue
        raise AssertionError("a conflict at every try")

    def end(self, conversation: str, error: str = "") -> None:
        """The turn in progress ends."""
        state = self.table.find(conversation)
        if error:
            self.table.commit(rules.fail(state, error, "sorry", "n", self.clock.now, PATIENCE))
        else:
            reply = ModelReply("hi", usage=USED)
            self.table.commit(rules.answer(state, state.turn, 1, reply, "n", self.clock.now, PATIENCE))

    def admits(self, conversation: str = "web:v:c1", user: str = "web:v", opens: bool = True) -> bool:
        """Whether one request more may come in."""
        try:
            self.door.admit(user, conversation, self.clock.now, opens)
        except OverLimit:
            return False
        return True


Make = Callable[..., Both]


@pytest.fixture(params=["stand-in", "dynamodb"])
def make(request: pytest.FixtureRequest, clock: Clock) -> Make:
    """Makes both for a policy of users' limits, and of callers' where that is given."""
    if request.param == "dynamodb":
        request.getfixturevalue("aws")

    def both(callers: Limits | None = None, **users: int) -> Both:
        policy = Policy(callers or Limits(), Limits(**users))
        if request.param == "stand-in":
            memory = MemoryTable(clock, policy)
            return Both(memory, memory, clock)
        client = OneAtATime(boto3.client("dynamodb"))
        name = create_table(client)
        return Both(Table(client, name, clock, policy), Allowances(client, name, policy), clock)

    return both


def refused(attempt: Callable[[], object]) -> Over | None:
    """The limit for which it is refused; None when it is not."""
    try:
        attempt()
    except OverLimit as limit:
        return limit.over
    return None


def at_once(attempts: int, attempt: Callable[[int], object]) -> list[Over | None]:
    """What came of so many attempts by eight threads."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: refused(lambda: attempt(n)), range(attempts)))


def test_no_more_turns_begin_in_a_minute_than_allowed_however_many_try_at_once(make: Make) -> None:
    both = make(requests_per_minute=5)
    outcomes = at_once(14, lambda n: both.accept(f"slack:T1:C1/{n}"))
    assert outcomes.count(None) == 5
    assert {over.kind for over in outcomes if over} == {Kind.REQUESTS}
    assert refused(lambda: both.accept("slack:T1:C2", user="slack:T1:U2")) is None
    both.clock.now += 60
    assert refused(lambda: both.accept("slack:T1:C1/99")) is None


def test_no_more_turns_are_in_progress_than_allowed_however_many_try_at_once(make: Make) -> None:
    both = make(turns_at_once=3)
    conversations = [f"slack:T1:C1/{n}" for n in range(10)]
    outcomes = at_once(10, lambda n: both.accept(conversations[n]))
    begun = [name for name, over in zip(conversations, outcomes, strict=True) if over is None]
    assert len(begun) == 3
    assert all(over is None or over.kind is Kind.TURNS for over in outcomes)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(both.end, begun))
    assert at_once(10, lambda n: both.accept(conversations[n], "e2")).count(None) == 3


def test_no_more_requests_come_in_at_the_door_than_allowed_however_many_try_at_once(make: Make) -> None:
    both = make(requests_per_minute=5)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: both.admits(), range(24))) == 5
    assert both.admits(user="web:w", conversation="web:w:c1")
    over = refused(lambda: both.door.admit("web:v", "web:v:c1", both.clock.now))
    assert over is not None
    assert (over.kind, over.allowed, over.until) == (Kind.REQUESTS, 5, (both.clock.now // 60 + 1) * 60)
    both.clock.now += 60
    assert both.admits()


def test_what_was_counted_at_the_door_is_not_counted_again_behind_it(make: Make) -> None:
    both = make(requests_per_minute=2)
    for number in (1, 2):
        assert both.admits(f"web:v:c{number}")
        both.accept(f"web:v:c{number}", user="web:v")
    assert not both.admits("web:v:c3")


def test_a_request_that_opens_no_turn_is_held_to_the_minute_alone(make: Make) -> None:
    both = make(requests_per_minute=4, tokens_per_day=100)
    both.accept("web:v:c1", user="web:v")
    both.end("web:v:c1")
    assert not both.admits("web:v:c1"), "there is no token left"
    assert [both.admits("web:v:c1", opens=False) for _ in range(5)] == [True] * 4 + [False]


def test_a_message_that_comes_twice_is_counted_once(make: Make) -> None:
    both = make(requests_per_minute=2, turns_at_once=2)
    both.accept("slack:T1:C1")
    for _ in range(5):
        with pytest.raises(AlreadySeen):
            both.accept("slack:T1:C1")
    both.accept("slack:T1:C2")
    with pytest.raises(AlreadySeen):
        both.accept("slack:T1:C2")


def test_a_message_that_joins_a_turn_takes_nothing_and_the_turn_after_it_is_counted(make: Make) -> None:
    both = make(requests_per_minute=2)
    for event in ("e1", "e2", "e3"):
        both.accept("slack:T1:C1", event)
    both.end("slack:T1:C1")
    assert both.table.find("slack:T1:C1").turn == 2
    over = refused(lambda: both.accept("slack:T1:C2"))
    assert over is not None
    assert over.kind is Kind.REQUESTS


def test_tokens_are_added_up_and_a_day_ends_at_midnight(make: Make) -> None:
    both = make(tokens_per_day=200)
    for number in (1, 2):
        both.accept(f"slack:T1:C{number}")
        both.end(f"slack:T1:C{number}")
    over = refused(lambda: both.accept("slack:T1:C3"))
    assert over is not None
    assert over.kind is Kind.TOKENS
    assert over.until % 86_400 == 0
    assert not both.admits("slack:T1:C3", "slack:T1:U1")
    both.clock.now = over.until
    assert refused(lambda: both.accept("slack:T1:C3")) is None


@pytest.mark.parametrize("end", ["answer", "failure", "deletion"])
def test_a_turn_is_given_back_however_it_ends(make: Make, end: str) -> None:
    both = make(turns_at_once=1)
    both.accept("web:v:c1", user="web:v")
    assert not both.admits("web:v:c2")
    assert both.admits("web:v:c1"), "a message more of a conversation that has its turn"
    if end == "deletion":
        both.table.forget("web:v:c1")
    else:
        both.end("web:v:c1", "no" if end == "failure" else "")
    assert both.admits("web:v:c2")


def test_the_user_is_told_once_in_a_minute_whichever_conversations_refuse(make: Make) -> None:
    both = make(requests_per_minute=1)
    both.accept("slack:T1:C0")
    over = refused(lambda: both.accept("slack:T1:C1"))
    assert over is not None
    assert not over.told
    told = at_once(8, lambda n: both.accept(f"slack:T1:D{n}", over=over))
    assert told.count(None) == 1
    assert all(other is None or other.told for other in told)
    known = refused(lambda: both.accept("slack:T1:C9"))
    assert known is not None
    assert known.told
    quiet = both.accept("slack:T1:C9", over=known)
    assert quiet.refusal is None
    turn = both.table.turn("slack:T1:C9", 1)
    assert (turn.status, turn.deadline, turn.notice) == (TurnStatus.FAILED, None, None)
    both.clock.now += 60
    both.accept("slack:T1:C0", "e2") if both.table.find("slack:T1:C0").status == "idle" else both.end("slack:T1:C0")
    later = refused(lambda: [both.accept(f"slack:T1:E{n}") for n in range(2)])
    assert later is not None
    assert not later.told


def test_callers_have_limits_of_their_own(make: Make) -> None:
    both = make(Limits(turns_at_once=1), requests_per_minute=1)
    both.accept("api:a:t1", user="api:a")
    assert not both.admits("api:a:t2", "api:a")
    assert both.admits("api:b:t1", "api:b")
    assert both.admits("api:b:t2", "api:b"), "requests of callers are counted by their keys"


def test_without_limits_nothing_is_written_of_a_user(aws: None, clock: Clock) -> None:
    client = boto3.client("dynamodb")
    table = Table(client, create_table(client), clock)
    both = Both(table, Allowances(client, "parley", Policy()), clock)
    assert both.admits()
    both.accept("slack:T1:C1")
    both.end("slack:T1:C1")
    keys = {item["pk"]["S"] for item in client.scan(TableName="parley")["Items"]}
    assert keys == {"CONV#slack:T1:C1"}


def test_a_users_item_expires(aws: None, clock: Clock) -> None:
    client = boto3.client("dynamodb")
    policy = Policy(users=Limits(3, 3, 3))
    both = Both(Table(client, create_table(client), clock, policy), Allowances(client, "parley", policy), clock)
    both.accept("slack:T1:C1")
    key = {"pk": {"S": "USER#slack:T1:U1"}, "sk": {"S": "DAY#2023-11-14"}}
    item = client.get_item(TableName="parley", Key=key)["Item"]
    assert int(item["expires"]["N"]) == int(clock.now) + 2 * 86_400


class Busy:
    """A client whose updates are refused, so many times, because a transaction holds the item."""

    def __init__(self, times: int) -> None:
        self.left = times

    def update_item(self, **_: Any) -> None:
        if self.left:
            self.left -= 1
            raise ClientError({"Error": {"Code": "TransactionConflictException", "Message": ""}}, "UpdateItem")


def test_the_door_waits_for_a_transaction_that_holds_the_item() -> None:
    pauses: list[float] = []
    Allowances(Busy(3), "parley", Policy(users=Limits(1)), pauses.append).admit("web:v", "web:v:c", 0.0)
    assert len(pauses) == 3
    with pytest.raises(ClientError):
        Allowances(Busy(99), "parley", Policy(users=Limits(1)), pauses.append).admit("web:v", "web:v:c", 0.0)
