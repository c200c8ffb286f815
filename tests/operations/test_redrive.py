"""`scripts/redrive`: dead letters are seen, shown and go back to work, and nothing is done twice by it."""

from __future__ import annotations

import json
from typing import Any

import botocore.client
import pytest

from scripts.operations import redrive
from tests.channels.platforms import Answer, SlackApi
from tests.deployment.recorded_system import RecordedSystem
from tests.deployment.slack_user import say
from tests.operations.conftest import Run


def undelivered(system: RecordedSystem, slack: SlackApi) -> None:
    """An answer that Slack refuses for good."""
    say(system, "where is my order?")
    system.work("think", "Inbox")
    system.answer("It is on its way.")
    system.work("reply", "Replies")
    slack.script(Answer(200, {"ok": False, "error": "channel_not_found"}))
    system.work("deliver", "Outbox")


def texts(slack: SlackApi) -> list[str]:
    return [str(call.body["text"]) for call in slack.calls if call.path.endswith("chat.postMessage")]


def test_what_a_channel_refused_is_listed_with_the_reason_and_without_its_text(
    system: RecordedSystem, slack: SlackApi, run: Run
) -> None:
    undelivered(system, slack)
    status, out, told = run(redrive.main, "list", "--json")
    (letter,) = json.loads(out)
    assert status == 0
    assert (letter["queue"], letter["turn"]) == ("outbox", 1)
    assert "channel_not_found" in letter["reason"]
    assert "on its way" not in out + told
    assert len(json.loads(run(redrive.main, "list", "--json")[1])) == 1, "a look does not hide it"


def test_one_letter_is_shown_whole(system: RecordedSystem, slack: SlackApi, run: Run) -> None:
    undelivered(system, slack)
    (letter,) = json.loads(run(redrive.main, "list", "--json")[1])
    status, out, _ = run(redrive.main, "show", letter["id"])
    assert (status, json.loads(out)["record"]["text"]) == (0, "It is on its way.")
    assert run(redrive.main, "show", "nobody")[0] == 1


def test_a_replayed_answer_reaches_the_channel_once_and_ends_its_turn(
    system: RecordedSystem, slack: SlackApi, run: Run
) -> None:
    undelivered(system, slack)
    assert run(redrive.main, "replay", "--all")[:2] == (0, "1 replayed\n")
    assert system.work("deliver", "Outbox") == 1
    assert texts(slack)[-1] == "It is on its way."
    taken = len(slack.calls)
    assert json.loads(run(redrive.main, "list", "--json")[1]) == []
    system.pass_time(10_000)
    system.sweep()
    assert system.work("deliver", "Outbox") == 0
    assert len(slack.calls) == taken


def test_a_letter_that_is_refused_again_comes_back_as_one_letter(
    system: RecordedSystem, slack: SlackApi, run: Run
) -> None:
    undelivered(system, slack)
    dead = system.deployment.resources["OutboxDeadLetters"].ref
    run(redrive.main, "replay", "--all")
    slack.script(Answer(200, {"ok": False, "error": "is_archived"}))
    system.work("deliver", "Outbox")
    (letter,) = json.loads(run(redrive.main, "list", "--json")[1])
    assert "is_archived" in letter["reason"]
    sent = [c.parameters for c in system.calls if c.operation == "SendMessage" and c.parameters["QueueUrl"] == dead]
    assert len({parameters["MessageDeduplicationId"] for parameters in sent}) == 2, (
        "SQS would drop a second of the same"
    )


def test_a_message_that_think_could_not_take_is_answered_after_its_replay(
    system: RecordedSystem, slack: SlackApi, run: Run
) -> None:
    say(system, "hello?")
    resources = system.deployment.resources
    client = system.outside.client("sqs")
    (record,) = client.receive_message(QueueUrl=resources["Inbox"].ref, MessageSystemAttributeNames=["All"])["Messages"]
    client.send_message(
        QueueUrl=resources["InboxDeadLetters"].ref, MessageBody=record["Body"], MessageDeduplicationId="d",
        MessageGroupId=record["Attributes"]["MessageGroupId"],
    )  # fmt: skip
    client.delete_message(QueueUrl=resources["Inbox"].ref, ReceiptHandle=record["ReceiptHandle"])
    (letter,) = json.loads(run(redrive.main, "list", "--queue", "inbox", "--json")[1])
    assert letter["kind"] == "message"
    assert run(redrive.main, "replay", letter["id"])[0] == 0
    assert system.work("think", "Inbox") == 1
    system.answer("hello!")
    system.work("reply", "Replies")
    system.work("deliver", "Outbox")
    assert texts(slack) == ["hello!"]


def test_an_unreadable_letter_is_listed_and_shown_as_it_is(system: RecordedSystem, run: Run) -> None:
    dead = system.deployment.resources["RepliesDeadLetters"].ref
    system.outside.client("sqs").send_message(QueueUrl=dead, MessageBody="no json at all")
    (letter,) = json.loads(run(redrive.main, "list", "--json")[1])
    assert json.loads(run(redrive.main, "show", letter["id"])[1])["record"] == "no json at all"


def test_an_outbox_letter_that_names_no_turn_is_replayed_as_it_is(system: RecordedSystem, run: Run) -> None:
    sqs, parts = system.outside.client("sqs"), system.deployment.resources
    body = json.dumps({"conversation": "slack:T1:C1", "turn": "first"})
    sqs.send_message(
        QueueUrl=parts["OutboxDeadLetters"].ref, MessageBody=body, MessageGroupId="g", MessageDeduplicationId="d"
    )
    (letter,) = json.loads(run(redrive.main, "list", "--json")[1])
    assert run(redrive.main, "replay", letter["id"])[0] == 0
    assert sqs.receive_message(QueueUrl=parts["Outbox"].ref)["Messages"][0]["Body"] == body


def test_a_letter_that_a_short_look_misses_is_found(
    system: RecordedSystem, slack: SlackApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    undelivered(system, slack)
    call = botocore.client.BaseClient._make_api_call

    def sampled(self: Any, operation: str, parameters: Any) -> Any:
        short = operation == "ReceiveMessage" and not parameters.get("WaitTimeSeconds")
        return {} if short else call(self, operation, parameters)  # SQS asks some of its servers only

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", sampled)
    (letter,) = json.loads(run(redrive.main, "list", "--json")[1])
    assert letter["queue"] == "outbox"


def test_without_a_deployment_one_line_says_what_to_do(system: RecordedSystem, run: Run) -> None:
    client = system.outside.client("sqs")
    client.delete_queue(QueueUrl=system.deployment.resources["Inbox"].ref)
    status, _, told = run(redrive.main, "list")
    assert (status, len(told.strip().splitlines())) == (2, 1)
    assert "scripts/run" in told
