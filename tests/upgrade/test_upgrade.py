"""A deployment with turns in flight takes this release: what each earlier one has written goes through to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parley.aws import items
from parley.aws.callers import StoredCallers
from parley.domain.message import channel_of
from parley.domain.turn import Turn
from tests.upgrade import golden
from tests.upgrade.__main__ import dump_of_today, empty_deployment, main
from tests.upgrade.deployment import API_KEY, Deployment
from tests.upgrade.states import ENDS

LATER = "of_a_later_release"
CHANGED = (
    "what is stored or queued has changed since the goldens of {release} were written. If {release} is released: raise "
    "the version in pyproject.toml and run scripts/goldens; else scripts/goldens --overwrite. First read "
    "tests/upgrade/README.md: can the release before read what this one writes, and the other way round?"
)


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with mock_aws():
        yield empty_deployment()


def conversations(dump: dict[str, Any]) -> set[str]:
    """All that the release has left, in table or inbox."""
    named = {str(json.loads(body)["conversation"]) for body in dump["queues"]["inbox.fifo"]}
    return named | {i["pk"]["S"].removeprefix("CONV#") for i in dump["table"] if i["pk"]["S"].startswith("CONV#")}


def check_ends(deployment: Deployment, names: set[str]) -> None:
    for name in names:
        turns: list[Turn] = deployment.table.turns(name, 1_000_000, 100)[::-1]
        found = [deployment.table.message(name, turn.answer) for turn in turns if turn.answer is not None]
        answers = [message.text for message in found if message is not None]
        assert (tuple(turn.status for turn in turns), tuple(answers)) == (ENDS[name].turns, ENDS[name].answers), name
        assert all(turn.deadline is None for turn in turns), name


def sent_to(deployment: Deployment, name: str) -> tuple[str, ...]:
    return tuple(piece for conversation, piece in deployment.platform.sent if conversation == name)


@pytest.mark.parametrize("release", golden.releases())
def test_a_turn_in_each_state_goes_through_to_its_end(deployment: Deployment, release: str) -> None:
    before = golden.read(release)
    deployment.fill(before)
    deployment.finish()
    names = conversations(before)
    assert names
    check_ends(deployment, names)
    for name in names:
        end = ENDS[name]
        assert sent_to(deployment, name) == end.sent[end.sent_before :], "once, and what was sent before is not again"
    dead = [record["Body"] for record in deployment.take_all("inbox-dead.fifo")]
    assert dead == before["queues"]["inbox-dead.fifo"], "no record has become a dead letter"
    assert StoredCallers(deployment.client, deployment.name, 60).identify(API_KEY) == "caller"


def test_what_a_later_release_adds_is_left_out(deployment: Deployment) -> None:
    before = golden.read(golden.this_release())
    for item in before["table"]:
        item[LATER] = {"S": "x"}
    for queue, bodies in before["queues"].items():
        before["queues"][queue] = [json.dumps({**json.loads(body), LATER: {"x": [1]}}) for body in bodies]
    deployment.fill(before)
    deployment.finish()
    check_ends(deployment, conversations(before))


def test_a_conversation_goes_on_after_the_upgrade(deployment: Deployment) -> None:
    deployment.fill(golden.read(golden.this_release()))
    deployment.finish()
    deployment.pass_time(1000)
    names = [name for name in ENDS if channel_of(name) == "slack"]
    for number, name in enumerate(names):
        deployment.say(f"after-{number}", "and after?", name)
    deployment.finish()
    assert all(sent_to(deployment, name)[-1] == "to: and after?" for name in names)


def test_todays_writers_write_what_the_goldens_of_this_release_cover() -> None:
    release = golden.this_release()
    assert release in golden.releases(), f"{release} has no goldens yet: run scripts/goldens"
    before, today = golden.read(release), dump_of_today()
    assert golden.shape(today) == golden.shape(before), CHANGED.format(release=release)
    assert golden.stored_fields() == before["fields"], CHANGED.format(release=release)


def test_a_field_that_a_writer_adds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    write = items.from_message
    monkeypatch.setattr(items, "from_message", lambda *given: {**write(*given), LATER: {"S": "x"}})
    added = golden.shape(dump_of_today()) - golden.shape(golden.read(golden.this_release()))
    assert added == {f"CONV MSG.{LATER}.S: str"}


def test_goldens_that_are_there_are_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = golden.read(golden.this_release())
    assert main([]) == 2
    assert "raise the version" in capsys.readouterr().err
    assert golden.read(golden.this_release()) == before
