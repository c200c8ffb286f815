"""The deployment's own conversations: only with consent on record, only between two, with personal data masked."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from training.prepare.preparing import Settings, prepare
from training.records import read_records

from parley.aws.table import Table
from parley.domain import conversation as rules
from parley.domain.message import Incoming
from parley.domain.turn import ModelReply, Patience
from scripts.training import collect, consents
from scripts.training.conversations import is_between_two
from tests.contracts.conftest import Clock, aws, clock, create_table

__all__ = ["aws", "clock"]

PATIENCE = Patience(answer=60, delivery=60)


@pytest.fixture
def table(aws: None, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")  # moto in this process
    client = boto3.client("dynamodb")
    create_table(client, "parley-Table")
    profile = json.dumps({"instructions": "Be kind.", "settings": {}})
    boto3.client("ssm").put_parameter(Name="/parley/bots/default/profile", Value=profile, Type="SecureString")
    return Table(client, "parley-Table", clock)


def talk(table: Table, id: str, user: str, *turns: tuple[str, str | None]) -> None:
    """A conversation whose turns are (what the user said, the answer if there is one)."""
    for number, (text, answer) in enumerate(turns):
        incoming = Incoming(f"e{number} {text}", id, "default", user, text, 1.0, "t")
        known, _ = table.load(id, 1)
        table.commit(rules.accept(known, incoming, "r", 1.0 + number, PATIENCE))
        known, _ = table.load(id, 1)
        if answer is not None and known is not None:
            table.commit(rules.answer(known, known.turn, 1, ModelReply(answer), "r", 1.5 + number, PATIENCE))


def run(*arguments: str) -> int:
    return collect.main(["--conversations", "--stage", "local", *arguments])


def test_nothing_is_collected_without_consent_and_the_error_says_how_to_record_it(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(table, "web:v1:c1", "web:v1", ("Hi", "Hello!"))
    assert run("--out", str(tmp_path / "out")) == 2
    assert "(1 have none); record it with scripts/consent give" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_conversations_with_consent_are_collected_masked_as_the_model_saw_them(table: Table, tmp_path: Path) -> None:
    talk(
        table, "web:v1:c1", "web:v1", ("I am jo@example.com", "Hello!"), ("Bye", "Goodbye, jo@example.com"), ("?", None)
    )
    talk(table, "web:v2:c1", "web:v2", ("Secret", "Kept"))
    talk(table, "slack:T1:C9/1.2", "slack:T1:U1", ("In a channel", "Others may write here"))
    for user in ("web:v1", "slack:T1:U1"):
        assert consents.main(["give", user, "--by", "Kim", "--note", "form of 1 May", "--stage", "local"]) == 0
    assert run("--out", str(tmp_path / "out")) == 0
    (record,) = read_records(tmp_path / "out/records.jsonl")
    assert [(message["role"], message["content"]) for message in record["messages"]] == [
        ("system", "Be kind."), ("user", "I am [email]"), ("assistant", "Hello!"),
        ("user", "Bye"), ("assistant", "Goodbye, [email]"),
    ]  # fmt: skip
    assert record["consent"]["by"] == "Kim"
    assert "v1" not in json.dumps(record)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["counts"]["not_collected"] == {"no_consent": 1, "shared": 1}


def test_an_answer_that_was_rated_has_a_record_of_its_own_and_is_learned_there_alone(
    table: Table, tmp_path: Path
) -> None:
    talk(table, "web:v1:c1", "web:v1", ("a", "A!"), ("b", "B!"), ("c", "C!"), ("d", "D!"))
    for sequence, rating in ((4, "down"), (6, "up"), (8, "up")):
        table.rate("web:v1:c1", sequence, rating)
    consents.main(["give", "web:v1", "--by", "Kim", "--note", "n", "--stage", "local"])
    assert run("--out", str(tmp_path / "out")) == 0
    records = list(read_records(tmp_path / "out/records.jsonl"))
    assert len({record["id"] for record in records}) == 3
    assert len({record["conversation"] for record in records}) == 1
    learned = [[m["content"] for m in r["messages"] if m["role"] == "assistant" and "weight" not in m] for r in records]
    assert [(record["messages"][-1]["content"], record["feedback"]) for record in records] == [
        ("B!", "down"), ("C!", "up"), ("D!", "up"),
    ]  # fmt: skip
    assert learned == [["B!"], ["C!"], ["A!", "D!"]], "what is down is in no split"
    assert [len(record["messages"]) for record in records] == [5, 7, 9], "with the system message"


def test_two_users_thumbs_become_a_preference_pair(table: Table, tmp_path: Path) -> None:
    thumbs = {"v1": ("Ten dollars.", None), "v2": ("Ten dollars.", "up"), "v3": ("No idea.", "down")}
    for visitor, (answer, rating) in thumbs.items():
        talk(
            table, f"web:{visitor}:c", f"web:{visitor}", ("Hi, I am kim@example.com", "Hello!"), ("The price?", answer)
        )
        table.rate(f"web:{visitor}:c", 4, rating)
        talk(table, f"web:{visitor}:c2", f"web:{visitor}", (f"What of {visitor}?", f"It is {visitor} indeed, I think."))
        consents.main(["give", f"web:{visitor}", "--by", "Kim", "--note", "n", "--stage", "local"])
    talk(table, "web:v3:c", "web:v3", ("Thanks", "Not at all."))
    assert run("--out", str(tmp_path / "collected")) == 0
    prepare([tmp_path / "collected"], tmp_path / "out", Settings(validation=0, test=0))
    (pair,) = map(json.loads, (tmp_path / "out/preferences.jsonl").read_text().splitlines())
    assert [(message["role"], message["content"]) for message in pair["prompt"]] == [
        ("system", "Be kind."), ("user", "Hi, I am [email]"), ("assistant", "Hello!"), ("user", "The price?"),
    ]  # fmt: skip
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Ten dollars.", "No idea.")
    assert not any("weight" in message for message in (*pair["prompt"], *pair["chosen"], *pair["rejected"]))


def test_withdrawn_consent_takes_the_conversations_out_of_the_next_collection(table: Table, tmp_path: Path) -> None:
    for visitor in ("v1", "v2"):
        talk(table, f"web:{visitor}:c1", f"web:{visitor}", ("Hi", f"Hello {visitor}!"))
        consents.main(["give", f"web:{visitor}", "--by", "Kim", "--note", "n", "--stage", "local"])
    assert run("--out", str(tmp_path / "out")) == 0
    assert consents.main(["withdraw", "web:v1", "--stage", "local"]) == 0
    assert consents.main(["withdraw", "web:v1", "--stage", "local"]) == 1
    assert run("--out", str(tmp_path / "out")) == 0
    (record,) = read_records(tmp_path / "out/records.jsonl")
    assert record["messages"][-1]["content"] == "Hello v2!"


def test_consents_are_listed(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    consents.main(["give", "web:v1", "--by", "Kim", "--note", "form", "--stage", "local"])
    capsys.readouterr()
    assert consents.main(["list", "--json", "--stage", "local"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["user"], entry["by"], entry["note"]) == ("web:v1", "Kim", "form")


@pytest.mark.parametrize(
    ("conversation", "user", "alone"),
    [
        ("slack:T1:D5", "slack:T1:U1", True),
        ("slack:T1:D5/1.2", "slack:T1:U1", True),
        ("slack:T1:C5/1.2", "slack:T1:U1", False),
        ("telegram:bot:77", "telegram:77", True),
        ("telegram:bot:-100123", "telegram:77", False),
        ("api:shop:c1", "api:shop", True),
        ("elsewhere:a:b", "elsewhere:c", False),
    ],
)
def test_only_what_nobody_else_can_write_in_counts_as_ones_own(conversation: str, user: str, alone: bool) -> None:
    assert is_between_two(conversation, user) is alone
