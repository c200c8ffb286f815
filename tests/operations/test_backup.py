"""`scripts/backup`: what the table holds goes to a file and comes back, and conversations go on where they were."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parley.aws.table import Table
from parley.domain import conversation as rules
from parley.domain.message import Incoming
from parley.domain.turn import ModelReply, Patience
from scripts.operations import backup
from tests.channels.platforms import SlackApi
from tests.contracts.conftest import create_table
from tests.deployment.recorded_system import RecordedSystem
from tests.deployment.slack_user import say
from tests.operations.conftest import Run

ID = "web:v:1"


def table_of(system: RecordedSystem) -> tuple[Any, str]:
    return system.outside.client("dynamodb"), system.deployment.resources["Table"].ref


def held(client: Any, table: str) -> dict[str, Any]:
    """Every item, by its key."""
    return {f"{item['pk']['S']} {item['sk']['S']}": item for item in client.scan(TableName=table)["Items"]}


def empty(client: Any, table: str) -> None:
    for item in client.scan(TableName=table)["Items"]:
        client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})


def converse(system: RecordedSystem) -> None:
    """One turn is answered and delivered, and the next one waits for the model."""
    say(system, "my name is Ada")
    system.work("think", "Inbox")
    system.answer("Hello, Ada.")
    system.work("reply", "Replies")
    system.work("deliver", "Outbox")
    say(system, "what is my name?")
    system.work("think", "Inbox")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """The table of the stage `local`, with a conversation in it: its client and its name."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    with mock_aws():
        client = boto3.client("dynamodb")
        name = create_table(client, "parley-Table")
        table = Table(client, name, time.time)
        now = time.time() - 10_000  # long ago: only what happens during an export makes it read again
        for number in range(15):
            incoming = Incoming(f"e{number}", ID, "default", "web:v", f"message {number}", now, "trace")
            table.commit(rules.accept(table.find(ID), incoming, "r", now, Patience()))
        yield client, name


@pytest.fixture
def file(place: tuple[Any, str], tmp_path: Path) -> Path:
    """A backup of it."""
    assert backup.main(["export", str(tmp_path / "parley.jsonl"), "--stage", "local"]) == 0
    return tmp_path / "parley.jsonl"


Told = Callable[..., tuple[int, str]]


@pytest.fixture
def told(place: tuple[Any, str], capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs the command: its status, and what it says on standard error."""

    def call(*arguments: Any) -> tuple[int, str]:
        status = backup.main([*map(str, arguments), "--stage", "local"])
        return status, capsys.readouterr().err

    return call


def test_what_was_exported_is_restored_and_conversations_go_on(
    system: RecordedSystem, slack: SlackApi, run: Run, tmp_path: Path
) -> None:
    response = system.http("POST", "/v1/responses", {"model": "default", "input": "hi", "background": True})
    system.work("think", "Inbox")
    system.answer("Hi yourself.")
    system.work("reply", "Replies")
    place = f"/v1/responses/{json.loads(response.body)['id']}"
    assert system.http("POST", f"{place}/feedback", {"rating": "up"}).status == 200
    converse(system)
    client, table = table_of(system)
    before = held(client, table)
    status, out, _ = run(backup.main, "export", tmp_path / "b", "--json")
    assert (status, json.loads(out)["items"], json.loads(out)["conversations"]) == (0, len(before), 2)
    empty(client, table)
    assert run(backup.main, "restore", tmp_path / "b")[0] == 0
    assert held(client, table) == before

    found = system.http("GET", place)
    assert "Hi yourself." in found.body.decode(), "the key and the response are known"
    system.pass_time(3600)
    system.sweep()  # what was being asked is asked again
    asked = json.loads(system.asked().parameters["Body"])["messages"]
    assert [m["content"] for m in asked[-3:]] == ["my name is Ada", "Hello, Ada.", "what is my name?"]
    system.answer("Ada.")
    system.work("reply", "Replies")
    system.work("deliver", "Outbox")
    texts = [str(call.body["text"]) for call in slack.calls if call.path.endswith("chat.postMessage")]
    assert texts == ["Hello, Ada.", "Ada."], "nothing is sent twice, nothing is lost"


def test_a_table_that_holds_something_is_left_as_it_is_unless_one_says_so(
    place: tuple[Any, str], told: Told, file: Path
) -> None:
    client, table = place
    before = held(client, table)
    status, error = told("restore", file)
    assert status == 2
    assert "not empty" in error
    assert "--overwrite" in error
    assert held(client, table) == before
    client.put_item(TableName=table, Item={"pk": {"S": "OTHER"}, "sk": {"S": "x"}})
    assert told("restore", file, "--overwrite")[0] == 0
    assert held(client, table).keys() == before.keys() | {"OTHER x"}


def test_a_file_that_is_no_whole_backup_is_refused_before_anything_is_written(
    place: tuple[Any, str], told: Told, file: Path
) -> None:
    head, first, *others, foot = file.read_text().splitlines(keepends=True)
    empty(*place)
    for lines, reason in (
        ([head, first, *others], "not whole"),
        ([head, *others, foot], "not whole"),
        ([head, first, *others, foot[:9]], "damaged"),
        ([first, *others, foot], "no backup"),
        ([head.replace('"version":1', '"version":2'), first, *others, foot], "version 2"),
        ([], "no backup"),
        (["\x00\n"], "damaged"),
    ):
        file.write_text("".join(lines))
        status, error = told("restore", file)
        assert (status, reason in error) == (2, True), error
    assert told("restore", file.with_name("none"))[0] == 2
    assert held(*place) == {}


def test_only_its_owner_may_read_a_backup_and_none_is_replaced_unasked(told: Told, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    assert told("export", file)[0] == 2
    assert file.read_text() == before
    assert told("export", file, "--overwrite")[0] == 0


class Interfering:
    """A client whose scan comes in two pages, with something happening between them."""

    def __init__(self, client: Any, between: Callable[[], object]) -> None:
        self._client = client
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_paginator(self, name: str) -> Any:
        return self if name == "scan" else self._client.get_paginator(name)

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        items = self._client.scan(**arguments)["Items"]
        half = 1 + next(index for index, item in enumerate(items) if item["sk"]["S"].startswith("MSG#"))
        yield {"Items": items[:half]}
        self._between()
        yield {"Items": self._client.scan(**arguments)["Items"][half:]}


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, OSError("no space left on device")])
def test_an_export_that_stops_leaves_no_file(place: tuple[Any, str], file: Path, stopped: Any) -> None:
    def stop() -> None:
        raise stopped

    client, table = place
    with pytest.raises((KeyboardInterrupt, OSError)):
        backup.export(Interfering(client, stop), table, file.with_name("stopped"))
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_conversation_that_is_written_while_it_is_read_is_whole_in_the_file(
    place: tuple[Any, str], tmp_path: Path
) -> None:
    client, name = place
    table = Table(client, name, time.time)

    def an_answer_comes() -> None:
        state = table.find(ID)
        assert state is not None
        table.commit(rules.answer(state, 1, 1, ModelReply("the answer"), "n", time.time(), Patience()))

    backup.export(Interfering(client, an_answer_comes), name, tmp_path / "b")
    lines = [json.loads(line) for line in (tmp_path / "b").read_text().splitlines()]
    exported = {f"{line['pk']['S']} {line['sk']['S']}": line for line in lines if "pk" in line}
    assert exported == held(client, name)
    assert sum("the answer" in json.dumps(item) for item in exported.values()) == 1


def test_a_restore_writes_what_was_refused_at_first(place: tuple[Any, str], file: Path) -> None:
    class Reluctant:
        """Takes half of each first batch."""

        def __init__(self, client: Any) -> None:
            self._client = client
            self.refused = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> Any:
            ((name, requests),) = RequestItems.items()
            taken, left = requests[: len(requests) // 2 + 1], requests[len(requests) // 2 + 1 :]
            self._client.batch_write_item(RequestItems={name: taken})
            self.refused += len(left)
            return {"UnprocessedItems": {name: left} if left else {}}

    client, table = place
    before = held(client, table)
    empty(client, table)
    reluctant = Reluctant(client)
    backup.restore(reluctant, table, file, overwrite=False)
    assert reluctant.refused > 0
    assert held(client, table) == before
