"""`scripts/doctor`, `scripts/status`, `scripts/logs`: the owner sees how a deployment is, and what became of a turn."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.local.gateway import refuse
from scripts.local.http_server import HttpServer, bind
from scripts.operations import doctor, logs, status, usage
from tests.channels.platforms import Answer, SlackApi
from tests.deployment.recorded_system import API_KEY, RecordedSystem
from tests.deployment.slack_user import say
from tests.operations.conftest import Run


def findings(run: Run, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code, out, _ = run(doctor.main, "--json", *arguments)
    return code, {finding["check"]: finding for finding in json.loads(out.splitlines()[-1])}


def test_a_healthy_deployment_has_nothing_bad(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARLEY_API_KEY", raising=False)
    code, found = findings(run)
    assert code == 0
    assert {name: finding["state"] for name, finding in found.items()} == {
        "credentials": "good", "stack": "good", "signing key": "good", "bots/default/slack": "good",
        "endpoint": "good", "queues and alarms": "good", "a test turn": "skipped",
    }  # fmt: skip


def test_a_token_that_slack_refuses_is_bad_with_what_to_do(run: Run, slack: SlackApi) -> None:
    slack.script(Answer(200, {"ok": False, "error": "token_revoked"}))
    code, found = findings(run)
    assert code == 1
    assert "token_revoked" in found["bots/default/slack"]["told"]
    assert "scripts/secrets set" in found["bots/default/slack"]["advice"]


def test_a_missing_signing_key_and_dead_letters_are_bad(run: Run, system: RecordedSystem) -> None:
    system.outside.client("ssm").delete_parameter(Name="/parley/signing-key")
    dead = system.deployment.resources["RepliesDeadLetters"].ref
    system.outside.client("sqs").send_message(QueueUrl=dead, MessageBody="x")
    code, found = findings(run)
    assert code == 1
    assert found["signing key"]["state"] == found["queues and alarms"]["state"] == "bad"
    assert "redrive" in found["queues and alarms"]["advice"]


def test_a_test_turn_goes_through_the_real_api(
    run: Run, system: RecordedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_at_once(request: Any) -> Any:
        response = system.gateway.handle(request)
        if request.method == "POST":
            system.work("think", "Inbox")
            system.answer("hello back")
            system.work("reply", "Replies")
        return response

    monkeypatch.setenv("PARLEY_API_KEY", API_KEY)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server = HttpServer(bind(0), answer_at_once, refuse, 100_000)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        code, found = findings(run, "--url", url)
        assert (code, found["a test turn"]["state"]) == (0, "good")
        monkeypatch.setenv("PARLEY_API_KEY", "wrong")
        code, found = findings(run, "--url", url)
        assert (code, found["a test turn"]["state"]) == (1, "bad")
    finally:
        server.stop(2)


def test_an_api_that_cannot_be_reached_is_bad(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", API_KEY)
    code, found = findings(run, "--url", "http://127.0.0.1:9")
    assert (code, found["a test turn"]["state"]) == (1, "bad")


def test_status_counts_what_waits_and_what_is_dead(run: Run, system: RecordedSystem) -> None:
    say(system, "hello")
    code, out, _ = run(status.main, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["queues"]["inbox"] == {"waiting": 1, "in_flight": 0}
    assert found["endpoint"] == {"status": "InService", "instances": 1}
    dead = system.deployment.resources["OutboxDeadLetters"].ref
    system.outside.client("sqs").send_message(
        QueueUrl=dead, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d"
    )
    code, out, _ = run(status.main, "--once")
    assert code == 1
    assert "1 dead letters of the outbox" in out
    assert "\x1b" not in out


def lines(trace: str) -> list[dict[str, Any]]:
    return [
        {"timestamp": f"2026-11-24 06:31:1{i},000+0000", "level": "INFO", "stage": stage, "message": message,
         "correlation_id": trace, "conversation": "c", **facts}
        for i, (stage, message, facts) in enumerate(
            [("receive", "message received", {"characters": 5}), ("think", "model asked", {"turn": 1}),
             ("reply", "turn answered", {"turn": 1}), ("deliver", "delivered", {"pieces": 1})])
    ]  # fmt: skip


def test_a_turn_s_path_is_read_from_a_log_file_in_order_and_alone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "lambda.log"
    told = [json.dumps(line) for line in [*reversed(lines("mine")), *lines("other")]]
    file.write_text("\n".join(["no json mine", '{"broken": mine', *told]))
    code, out, _ = run(logs.main, "--turn", "mine", "--file", file)
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == ["receive", "think", "reply", "deliver"]
    assert out.splitlines()[3].startswith("    3.000 s")
    assert len(json.loads(run(logs.main, "--turn", "other", "--file", file, "--json")[1])) == 4


def test_a_turn_s_path_is_read_from_every_stage_s_log_group(run: Run, system: RecordedSystem) -> None:
    client = system.outside.client("logs")
    for line in lines("mine"):
        group = f"/parley/parley/{line['stage']}"
        client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName="s")
        events = [{"timestamp": int(time.time() * 1000), "message": json.dumps(line)}]
        client.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    code, out, _ = run(logs.main, "--turn", "mine")
    assert (code, len(out.splitlines())) == (0, 4)


def test_a_turn_may_be_named_by_its_conversation_and_number(run: Run, system: RecordedSystem) -> None:
    say(system, "hello")
    system.work("think", "Inbox")
    code, _, told = run(logs.main, "--turn", "slack:T1:C1/17.0#1")
    assert code == 1, "there are no log groups here"
    assert "slack:T1:C1/17.0#1" in told


def answered(conversation: str, turn: int, **facts: Any) -> str:
    told = {
        "message": "turn answered",
        "conversation": conversation,
        "turn": turn,
        "channel": conversation[:5],
        **facts,
    }
    return json.dumps(told)


def test_usage_is_summed_by_channel_user_and_turn_with_its_price(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "lambda.log"
    file.write_text("\n".join([
        "no json", json.dumps({"message": "turn failed", "compute_ms": 9_000_000}),
        answered("slack:1", 1, user="slack:ann", compute_ms=1500, tokens_in=10, tokens_out=5),
        answered("slack:1", 2, user="slack:bob", compute_ms=2100, tokens_in=20, tokens_out=7),
        answered("teleg:9", 1, user="telegram:eve", compute_ms="many", tokens_in=None),
    ]))  # fmt: skip
    (slack, telegram) = json.loads(run(usage.main, "--file", file, "--json")[1])
    assert (slack["channel"], slack["turns"], slack["tokens_in"], slack["tokens_out"]) == ("slack", 2, 30, 12)
    assert slack["seconds"] == pytest.approx(3.6)
    assert slack["usd"] == pytest.approx(3.6 / 3600 * 1.127)
    assert (telegram["turns"], telegram["seconds"]) == (1, 0.0)
    by_user = json.loads(run(usage.main, "--file", file, "--by", "user", "--json", "--most", 1)[1])
    assert [row["user"] for row in by_user] == ["slack:bob"]
    assert "slack:1#2" in run(usage.main, "--file", file, "--by", "turn")[1]


def test_usage_is_read_from_the_log_group_of_reply(run: Run, system: RecordedSystem) -> None:
    client = system.outside.client("logs")
    client.create_log_group(logGroupName="/parley/parley/reply")
    client.create_log_stream(logGroupName="/parley/parley/reply", logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": answered("slack:1", 1, user="u", compute_ms=1000)}
    client.put_log_events(logGroupName="/parley/parley/reply", logStreamName="s", logEvents=[event])
    assert json.loads(run(usage.main, "--json")[1])[0]["seconds"] == 1.0
