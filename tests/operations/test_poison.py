"""Every kind of message that always fails, over the deployed functions: how often it is tried, what is counted, what
its user is told, the one letter that is left, and what `scripts/redrive` makes of that once the fault is mended.

    what always fails                     tries        letter in   replayed
    the model, with a server's error      3 calls      inbox       is answered
    the model, refusing the request       1 call       inbox       is answered
    a result that is no completion        3 calls      inbox       is answered
    a result of 5 MB                      3 calls      inbox       is answered
    a result that is not in the bucket    3 calls      inbox       is answered
    think(), before it stores anything    5 records    inbox       is answered
    think(), when it calls the model      5 records    inbox       is answered
    reply(), when it takes the result     15 records   inbox       is answered
    deliver()                             5 records    outbox      is delivered
    a channel that refuses                1 call       outbox      is delivered
    a channel that is always busy         5 x 8 calls  outbox      is delivered
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from parley.aws.queues import SqsOutbox
from parley.domain.message import Incoming
from parley.stages import inbox_to_model
from scripts.local.stand_in.table import MemoryTable
from tests.channels.platforms import Answer, Call, SlackApi
from tests.deployment.slack_user import TOKEN
from tests.operations.poisonable import STAGES, OverMoto, OverStandIns, Poisonable, over_stand_ins

NOTICE = "Sorry, I could not answer that. Please try again in a moment."
Break = Callable[[pytest.MonkeyPatch], None]


def answer(system: Poisonable) -> None:
    system.answer("the answer")


def refuse(system: Poisonable) -> None:
    system.fail("Received client error (400) from model: the prompt is too long.")


def crash(*_: Any, **__: Any) -> Any:
    raise ValueError("a fault in the code, which may quote what a user wrote")


def unreachable(*_: Any, **__: Any) -> Any:
    raise ConnectionClosedError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")


@dataclass(frozen=True)
class Case:
    """What is broken, and what is expected of it. `tried` says what is counted as a try."""

    name: str
    tries: int
    counts: dict[str, int]
    reason: str
    queue: str = "inbox"
    model: Callable[[Poisonable], None] = answer
    fault: Break = field(default=lambda patch: None)
    slack: Answer | None = None
    tried: str = "model"

    @property
    def told(self) -> list[str]:
        """What reaches the user before the replay: nothing where the channel takes nothing."""
        return [NOTICE] if self.queue == "inbox" else []


CASES = [
    Case("the model, with a server's error", 3, {"ModelErrors": 3, "TurnsFailed": 1}, reason="server error (500)",
         model=lambda system: system.fail("ClientError: Received server error (500) from model.")),
    Case("the model, refusing the request", 1, {"ModelErrors": 1, "TurnsFailed": 1}, reason="client error (400)",
         model=refuse),
    Case("a result that is no completion", 3, {"ModelErrors": 3, "TurnsFailed": 1}, reason="no text",
         model=lambda system: system.answer("")),
    Case("a result of 5 MB", 3, {"ModelErrors": 3, "TurnsFailed": 1}, reason="no Chat Completions",
         model=lambda system: system.answer("x" * 5_000_000, inline=False)),
    Case("a result that is not in the bucket", 3, {"ModelErrors": 3, "TurnsFailed": 1}, reason="NoSuchKey",
         model=lambda system: system.answer("the answer", inline=False, kept=False)),
    Case("think(), before it stores anything", 5, {"RecordsFailed": 5, "RecordsGivenUp": 1, "TurnsFailed": 1},
         reason="ValueError", tried="records",
         fault=lambda patch: patch.setattr(inbox_to_model, "_take_in", crash)),
    Case("think(), when it calls the model", 5, {"RecordsFailed": 5, "RecordsGivenUp": 1, "TurnsFailed": 1},
         reason="ValueError", tried="records",
         fault=lambda patch: patch.setattr("parley.domain.prompt.build", crash)),
    Case("reply(), when it takes the result", 3,
         {"RecordsFailed": 15, "RecordsGivenUp": 3, "ModelErrors": 3, "TurnsFailed": 1}, reason="ValueError",
         fault=lambda patch: patch.setattr("parley.stages.model_to_outbox.take_result", crash)),
    Case("deliver()", 5, {"RecordsFailed": 5, "RecordsGivenUp": 1, "Undeliverable": 1}, queue="outbox",
         reason="ValueError", tried="records",
         fault=lambda patch: patch.setattr("parley.channels.slack.Slack.pieces", crash)),
    Case("a channel that refuses", 1, {"Undeliverable": 1}, queue="outbox", reason="channel_not_found",
         slack=Answer(200, {"ok": False, "error": "channel_not_found"}), tried="slack"),
    Case("a channel that is always busy", 40, {"ChannelBusy": 40, "Undeliverable": 1}, queue="outbox",
         reason="not delivered", slack=Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "0"}),
         tried="slack"),
]  # fmt: skip

OVER_MOTO = {"a result that is not in the bucket", "think(), before it stores anything"}


class StubbornSlack(SlackApi):
    """Slack, which may give every call the same answer; `taken` are the texts that it took."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.always: Answer | None = None
        self.taken: list[str] = []

    def answer(self, call: Call) -> Answer:
        if self.always is not None:
            return self.always
        self.taken.append(str(call.body["text"]))
        return super().answer(call)


@pytest.fixture
def slack() -> Iterator[StubbornSlack]:
    with StubbornSlack(TOKEN) as api:
        yield api


@pytest.fixture(params=["stand-ins", "moto"])
def system(request: pytest.FixtureRequest, slack: StubbornSlack) -> Iterator[Poisonable]:
    if request.param == "stand-ins":
        with over_stand_ins(slack.url) as made:
            yield made
    else:
        yield OverMoto(request.getfixturevalue("recorded"), request.getfixturevalue("run"))


class Counted:
    """The metrics that the functions wrote, read from their EMF lines."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._lines: list[str] = []

    def read(self) -> None:
        """Take in what was printed since."""
        self._lines += self._capsys.readouterr().out.splitlines()

    def __getitem__(self, metric: str) -> float:
        self.read()
        found = [json.loads(line) for line in self._lines if f'"{metric}"' in line and '"_aws"' in line]
        return sum(sum(line[metric]) if isinstance(line[metric], list) else line[metric] for line in found)

    @property
    def text(self) -> str:
        """Everything that was logged."""
        self.read()
        return "\n".join(self._lines)


def settle(system: Poisonable, model: Callable[[Poisonable], None] = answer) -> None:
    """Let everything come to its end: queues empty, no turn open."""
    answered = system.calls()
    for _ in range(200):
        for function in STAGES:
            system.work(function)
            if system.calls() > answered:
                answered = system.calls()
                model(system)
        if system.at_rest():
            if not system.open_turns():
                return
            system.pass_time(1801)
            system.sweep()
    raise AssertionError("it does not come to its end")


def answer_to_busy(system: Poisonable, slack: StubbornSlack) -> None:
    """An answer that waits for its delivery, on a channel that takes none."""
    slack.always = Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "0"})
    system.say("hello?")
    system.work("think")
    answer(system)
    system.work("reply")


def poison(case: Case, system: Poisonable, slack: StubbornSlack, counted: Counted) -> None:
    """The whole life of what always fails: tried, told, buried; the next message answered; mended and replayed."""
    with pytest.MonkeyPatch.context() as patch:
        case.fault(patch)
        slack.always = case.slack
        system.say("is it a canary?")
        settle(system, case.model)
    slack.always = None
    tries = {"model": system.calls(), "records": counted["RecordsFailed"], "slack": len(slack.calls)}
    assert tries[case.tried] == case.tries
    assert {metric: counted[metric] for metric in case.counts} == case.counts
    assert "canary" not in counted.text
    assert slack.taken == case.told
    (letter,) = system.letters()
    assert (letter["queue"], letter["turn"]) == (case.queue, 1)
    assert case.reason in letter["reason"]

    system.say("and the next?")
    settle(system)
    assert slack.taken == [*case.told, "the answer"], "the conversation goes on"

    system.replay()
    settle(system)
    assert slack.taken == [*case.told, "the answer", "the answer"]
    assert system.letters() == []


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_always_fails_ends_visibly_and_can_be_replayed(
    case: Case, system: Poisonable, slack: StubbornSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(case, system, slack, Counted(capsys))


@pytest.mark.parametrize("system", ["moto"], indirect=True)
@pytest.mark.parametrize("case", [c for c in CASES if c.name in OVER_MOTO], ids=lambda case: case.name)
def test_it_does_so_over_moto_with_the_owner_s_command(
    case: Case, system: Poisonable, slack: StubbornSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(case, system, slack, Counted(capsys))


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
def test_a_busy_channel_is_no_poison_where_its_record_could_not_be_delayed_either(
    system: Poisonable, slack: StubbornSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqsOutbox, "delay", crash)
    answer_to_busy(system, slack)
    for _ in range(6):  # more than what a record that fails otherwise is tried
        system.work("deliver")
    slack.always = None
    settle(system)
    assert slack.taken == ["the answer"]
    assert system.letters() == []


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
def test_an_answer_is_no_poison_where_aws_fails_after_the_channel_was_busy(
    system: Poisonable, slack: StubbornSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_to_busy(system, slack)
    for _ in range(7):
        system.work("deliver")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryTable, "turns", unreachable)
        system.work("deliver")
    slack.always = None
    settle(system)
    assert slack.taken == ["the answer"]
    assert system.letters() == []


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
def test_what_waits_behind_poison_in_its_batch_is_kept_and_answered(
    system: Poisonable, slack: StubbornSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = inbox_to_model._take_in

    def crash_on_poison(incoming: Incoming, *rest: Any) -> None:
        crash() if incoming.text == "poison" else take_in(incoming, *rest)

    monkeypatch.setattr(inbox_to_model, "_take_in", crash_on_poison)
    for text in ("poison", "innocent", "bystander"):
        system.say(text)
    settle(system)
    assert isinstance(system, OverStandIns)
    (shelf,) = system.parts.conversations.all().values()
    assert [(m.text, m.role) for m in shelf.messages.values() if m.role == "user"] == [
        ("poison", "user"), ("innocent", "user"), ("bystander", "user"),
    ]  # fmt: skip
    assert slack.taken[:2] == [NOTICE, "the answer"]
    assert len(system.letters()) == 1, "SQS counted the receives of all three alike"


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
class TestUnreadable:
    def test_a_record_of_the_inbox_frees_its_group_and_is_kept(self, system: Poisonable, slack: StubbornSlack) -> None:
        system.put("Inbox", "no json")
        system.put("Inbox", json.dumps({"v": 2, "kind": "message"}))
        system.say("hello?")
        settle(system)
        assert slack.taken == ["the answer"]
        assert [(letter["queue"], letter["reason"]) for letter in system.letters()] == [
            ("inbox", "UnreadableRecord"), ("inbox", "UnreadableRecord"),
        ]  # fmt: skip
        system.replay()
        settle(system)
        assert len(system.letters()) == 2, "each comes back as one letter"

    def test_a_record_of_the_outbox_frees_its_group_and_is_kept(self, system: Poisonable, slack: StubbornSlack) -> None:
        system.put("Outbox", "no json")
        settle(system)
        (letter,) = system.letters()
        assert (letter["queue"], letter["reason"]) == ("outbox", "UnreadableRecord")

    def test_a_notification_is_kept_and_its_turn_is_answered_by_the_sweep(
        self, system: Poisonable, slack: StubbornSlack
    ) -> None:
        def garble(system: Poisonable) -> None:
            system.answer("the answer", notify=False)
            system.put("Replies", '{"invocationStatus": "Completed"}')

        system.say("hello?")
        settle(system, garble)
        assert slack.taken == ["the answer"]
        (letter,) = system.letters()
        assert (letter["queue"], letter["reason"]) == ("replies", "failed every time it was tried")


@pytest.mark.parametrize("system", ["stand-ins"], indirect=True)
class TestReplay:
    def test_a_failed_turn_is_asked_anew_once_however_often_its_letter_is_replayed(
        self, system: Poisonable, slack: StubbornSlack
    ) -> None:
        system.say("hello?")
        settle(system, refuse)
        (letter,) = system.letters()
        system.replay()
        settle(system)
        assert isinstance(system, OverStandIns)
        system.parts.inbox.bury(json.dumps({"v": 1, **letter["record"]}), "c", "again", "as a copy of it would")
        system.replay()
        settle(system)
        assert slack.taken == [NOTICE, "the answer"]

    def test_a_failed_turn_of_several_messages_is_asked_anew_with_all_of_them(
        self, system: Poisonable, slack: StubbornSlack
    ) -> None:
        for text in ("one", "two", "three"):
            system.say(text)
            system.work("think")
        system.answer("the answer")
        system.work("reply")
        settle(system, refuse)
        refuse(system)
        settle(system, refuse)
        system.replay()
        settle(system)
        assert isinstance(system, OverStandIns)
        said = [m["content"] for m in system.asked()["messages"] if m["role"] == "user"]
        assert said[-2:] == ["two", "three"]

    def test_a_failed_turn_that_was_forgotten_has_nothing_left_to_ask(
        self, system: Poisonable, slack: StubbornSlack
    ) -> None:
        system.say("hello?")
        settle(system, refuse)
        assert isinstance(system, OverStandIns)
        for conversation in system.parts.conversations.all():
            system.parts.conversations.forget(conversation)
        system.replay()
        settle(system)
        assert (slack.taken, system.letters()) == ([NOTICE], [])
