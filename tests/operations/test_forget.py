"""`scripts/forget`: nothing that a user wrote is left anywhere, whenever the command dies, and others lose nothing."""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.client
import pytest
from moto import mock_aws

from parley.envelopes import write_inbox
from scripts.local.provision import Provisioner
from scripts.operations import forget, redrive
from scripts.operations.forgetting import LATE_SECONDS
from tests.deployment.cloud import Died
from tests.deployment.recorded_system import RESOURCES, RecordedSystem
from tests.deployment.slack_user import say
from tests.operations.conftest import Run
from tests.operations.two_users import OTHER, USER, TwoUsers

OWN, SHARED, OTHERS = "slack:T1:D1", "slack:T1:C1/1.0", "slack:T1:D2"
WORD, OTHER_WORD = "xylophone", "bassoon"
NONE = {"items": 0, "objects": 0, "letters": 0}
READS = ("Get", "Query", "Scan", "List", "Describe", "Receive")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoUsers]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    values = {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "eu-west-1", "ENDPOINT_URL": ""}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        session = boto3.Session(region_name="eu-west-1")
        session.client = functools.cache(session.client)  # they take long to make
        Provisioner(session).provision(json.loads(RESOURCES.read_text()))
        made = TwoUsers(session)
        made.fill(OTHER, OTHERS, OTHER_WORD)
        yield made


@pytest.fixture
def die_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the process die after so many of the writes that follow; 0: never."""
    call, left = botocore.client.BaseClient._make_api_call, [0]

    def counted(self: Any, operation: str, parameters: Any) -> Any:
        answer = call(self, operation, parameters)
        if not operation.startswith(READS):
            left[0] -= 1
            if left[0] == 0:
                raise Died(operation)
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)

    def arm(writes: int) -> None:
        left[0] = writes

    return arm


def test_whenever_it_dies_the_next_run_leaves_nothing_of_the_user_and_all_of_the_others(
    stage: TwoUsers, die_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "HIDDEN_SECONDS", 0)  # what a dead run looked at can be seen again
    (others,) = stage.holds(OTHER_WORD)
    for writes in itertools.count(1):
        stage.fill(USER, OWN, WORD)
        stage.says(OTHER, SHARED, "hello all")
        stage.says(USER, SHARED, WORD)
        die_after(writes)
        try:
            stage.forget()
            break
        except Died:
            pass
        finally:
            die_after(0)
        stage.forget()
        assert stage.holds(WORD, OTHER_WORD) == [NONE, others], f"it died after write {writes}"
    assert writes > 10
    assert len(stage.records()) == 1
    assert stage.forget(later=LATE_SECONDS + 60).until == 0
    assert stage.kept() == []


def test_dead_letters_of_every_queue_go_and_what_is_looked_at_meanwhile_is_left_to_the_next_run(
    stage: TwoUsers,
) -> None:
    stage.fill(USER, OWN, WORD)
    stage.answers(OWN, WORD)
    stage.buries("inbox", write_inbox(stage.incoming(USER, "slack:T1:C9/9.9", WORD)), "slack:T1:C9/9.9")
    attributes = json.dumps({"c": OWN, "t": 1, "s": 1, "a": 1, "x": "t"})
    notification = {"requestParameters": {"customAttributes": attributes}, "responseBody": {"content": WORD}}
    stage.buries("replies", json.dumps(notification), OWN)
    for queue in ("replies", "inbox"):
        stage.buries(queue, "no record of ours", "?")
    client = stage.session.client("sqs")
    (outbox,) = [queue for queue in stage.place.queues if queue.name == "outbox"]
    looked_at = list(redrive.receive_all(client, outbox))
    first = stage.forget()
    assert first.counts["dead_letters"] == 2
    assert 0 < first.until - time.time() <= redrive.HIDDEN_SECONDS
    redrive.give_back(client, looked_at)
    second = stage.forget()
    assert (second.counts["dead_letters"], stage.holds(WORD, OTHER_WORD)[0]["letters"]) == (1, 0)
    assert stage.holds(OTHER_WORD, "no record of ours")[1]["letters"] == 2


@pytest.fixture
def meanwhile(stage: TwoUsers, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Lets something happen after the next call of an operation."""
    call, coming = botocore.client.BaseClient._make_api_call, dict[str, Callable[[], None]]()

    def interrupted(self: Any, operation: str, parameters: Any) -> Any:
        answer = call(self, operation, parameters)
        coming.pop(operation, lambda: None)()
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", interrupted)
    return coming.__setitem__


@pytest.mark.parametrize("began", [USER, OTHER])
@pytest.mark.parametrize(("operation", "swept_up"), [("DeleteObjects", True), ("ReceiveMessage", False)])
def test_a_message_that_comes_before_the_last_look_is_swept_up_and_a_later_one_is_found_the_next_time(
    stage: TwoUsers, meanwhile: Any, began: str, operation: str, swept_up: bool
) -> None:
    def converse() -> None:
        stage.says(began, SHARED, "hello all")
        stage.says(USER, SHARED, WORD)
        for _ in range(2):  # the second was said while the first was being answered
            stage.answers(SHARED, WORD)

    converse()
    meanwhile(operation, converse)
    stage.forget()
    assert (stage.holds(WORD) == [NONE]) == swept_up
    assert stage.forget().counts["conversations"] == (not swept_up)
    assert stage.holds(WORD) == [NONE]


def test_who_began_a_shared_conversation_gets_the_turn_in_progress_back(stage: TwoUsers) -> None:
    stage.says(OTHER, SHARED, "hello all")
    stage.says(USER, SHARED, WORD)
    taken = stage.turns_taken(OTHER)
    work = stage.forget()
    assert (work.counts["conversations"], work.counts["begun_by_others"]) == (1, 1)
    assert stage.turns_taken(OTHER) == taken - 1


def test_a_late_result_of_a_conversation_that_others_began_goes_with_the_next_run(stage: TwoUsers) -> None:
    stage.says(OTHER, SHARED, "hello all")
    stage.says(USER, SHARED, WORD)
    state = stage.table.find(SHARED)
    assert state is not None
    for _ in ("the first run", "one that comes too early"):
        assert stage.forget().until > time.time() + 6 * 3600
    stage.lays(state.ask(), "out", WORD)
    assert (stage.forget(later=LATE_SECONDS + 60).until, stage.holds(WORD)) == (0, [NONE])


def test_what_was_deleted_on_the_page_before_leaves_no_payload(stage: TwoUsers) -> None:
    stage.says("web:v", "web:v:1", WORD)
    stage.answers("web:v:1", WORD)
    stage.table.forget("web:v:1")
    assert stage.holds(WORD) == [{**NONE, "objects": 1}]
    assert stage.forget("web:v").counts["payloads"] == 1
    assert stage.holds(WORD) == [NONE]


def test_a_dry_run_counts_what_would_go_and_changes_nothing(stage: TwoUsers) -> None:
    stage.fill(USER, OWN, WORD)
    before, letters = stage.items(), stage.holds(WORD)
    counts = stage.forget(remove=False).counts
    assert counts == {"conversations": 1, "begun_by_others": 0, "payloads": 1, "dead_letters": 1, "other_items": 2}
    assert (stage.items(), stage.holds(WORD)) == (before, letters)
    assert stage.forget().counts == counts


def test_a_turn_in_progress_ends_without_a_word_and_its_late_result_goes_with_the_next_run(
    system: RecordedSystem, run: Run
) -> None:
    say(system, WORD)
    system.work("think", "Inbox")
    status, out, told = run(forget.main, USER, "--yes", "--json")
    assert (status, json.loads(out)["conversations"]) == (1, 1)
    assert "run this again after" in told
    system.answer(f"you said {WORD}")
    assert system.work("reply", "Replies") == 1
    assert system.work("deliver", "Outbox") == 0
    system.sweep()
    stage = TwoUsers(system.outside)
    assert stage.holds(WORD) == [{**NONE, "objects": 1}]
    assert (stage.forget(later=LATE_SECONDS + 60).until, stage.holds(WORD)) == (0, [NONE])


def test_a_callers_responses_are_gone_and_its_key_goes_on(system: RecordedSystem, run: Run) -> None:
    wishes = {"instructions": WORD, "metadata": {"about": WORD}, "background": True}
    made = system.http("POST", "/v1/responses", {"model": "default", "input": WORD, **wishes})
    system.work("think", "Inbox")
    system.answer(WORD)
    system.work("reply", "Replies")
    status, _, told = run(forget.main, "api:local", "--yes")
    assert (status, TwoUsers(system.outside).holds(WORD)) == (0, [NONE])
    assert "scripts/keys revoke" in told
    for method in ("GET", "DELETE"):
        assert system.http(method, f"/v1/responses/{json.loads(made.body)['id']}").status == 404


def test_nothing_goes_before_its_owner_agrees_and_a_second_time_there_is_nothing(
    stage: TwoUsers, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def typing(text: str | None) -> tuple[int, str, str]:
        terminal = io.StringIO(text or "")
        monkeypatch.setattr(terminal, "isatty", lambda: text is not None)
        monkeypatch.setattr("sys.stdin", terminal)
        status = forget.main([USER, "--stage", "local"])
        return status, *capsys.readouterr()

    stage.says(USER, OWN, WORD)
    stage.answers(OWN, WORD)
    before = stage.holds(WORD)
    for typed in (None, "slack:T1:U"):
        assert typing(typed)[0] == 1
        assert stage.holds(WORD) == before
    assert stage.records() == []
    assert typing(USER)[0] == 0
    assert stage.holds(WORD) == [NONE]
    status, out, told = typing(None)
    assert (status, out) == (0, f"{USER}: nothing is kept\n")
    assert "arn:aws:" in told, "who did it"


@pytest.mark.parametrize("arguments", [(), ("U1",), (USER, "--yes", "now")])
def test_wrong_use_ends_with_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        forget.main(arguments)
    assert stopped.value.code == 2
