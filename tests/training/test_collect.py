"""Collecting: every format is read, nothing is lost without a reason, a run that died goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from training.collect.collecting import Terms, collect
from training.collect.entries import Entry
from training.collect.files import find
from training.errors import StepFailed
from training.folders import read_manifest
from training.records import check_messages, read_records

from scripts.training import collect as command
from tests.aws.conftest import aws

__all__ = ["aws"]

ROOT = Path(__file__).parents[2]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
TERMS = Terms("own")


def collected(place: Path, out: Path, columns: Mapping[str, str] | None = None, terms: Terms = TERMS) -> dict[str, Any]:
    sources, _ = find([str(place)], None, columns or {}, lambda: None)
    return collect([(source, terms) for source in sources], out, {})


def records(folder: Path) -> list[dict[str, Any]]:
    return list(read_records(folder / "records.jsonl"))


def said(folder: Path) -> list[list[str]]:
    return [[message["content"] for message in record["messages"]] for record in records(folder)]


def aside(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "set_aside.jsonl").read_text("utf-8").splitlines()]


def test_documents_become_texts_and_html_loses_its_scripts_but_not_its_headings(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    (place / "a.txt").write_text("\ufeffOpening hours: 9 to 5", "utf-8")
    (place / "b.md").write_text("---\ntitle: x\n---\n# Returns\n\nWithin 30 days.", "utf-8")
    (place / "c.html").write_text(
        "<html><head><title>t</title></head><body><nav>Home</nav><script>x()</script><h1>配送</h1><p>三天</p></body></html>",
        "utf-8",
    )
    (place / "d.bin").write_bytes(b"?")
    counts = collected(place, tmp_path / "out")
    assert counts["records"] == 3
    assert [r["text"].strip() for r in records(tmp_path / "out")] == [
        "Opening hours: 9 to 5", "# Returns\n\nWithin 30 days.", "# 配送\n\n三天",
    ]  # fmt: skip
    assert {r["licence"] for r in records(tmp_path / "out")} == {"own"}
    assert find([str(place)], None, {}, lambda: None)[1] == 1


def test_a_long_document_becomes_records_of_one_conversation_without_losing_a_character(tmp_path: Path) -> None:
    text = "".join(f"Paragraph {n} says that {'x' * 200}.\n\n" for n in range(1500))
    (tmp_path / "long.txt").write_text(text)
    collected(tmp_path / "long.txt", tmp_path / "out")
    found = records(tmp_path / "out")
    assert len(found) > 2
    assert "".join(r["text"] for r in found) == text
    assert len({r["conversation"] for r in found}) == 1
    assert len({r["id"] for r in found}) == len(found)


@pytest.mark.parametrize(
    ("entry", "kind", "messages"),
    [
        ({"messages": TALK}, "openai", ["Hi", "Hello!"]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, TALK[1]]},
         "openai", ["Hi", "Hello!"]),
        ({"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"}], "system": "S"},
         "sharegpt", ["S", "你好", "您好"]),
        ({"mapping": {"a": {"parent": None}, "b": {"parent": "a", "message": {
            "author": {"role": "user"}, "content": {"parts": ["Hi"]}}}, "c": {"parent": "b", "message": {
                "author": {"role": "assistant"}, "content": {"parts": ["Hello!"]}}},
            "other": {"parent": "b", "message": {"author": {"role": "assistant"}, "content": {"parts": ["No"]}}}},
          "current_node": "c"}, "chatgpt", ["Hi", "Hello!"]),
        ({"instruction": "Sum up", "input": "A text", "output": "Short"}, "jsonl", ["Sum up\n\nA text", "Short"]),
        ({"question": "Hi", "answer": "Hello!"}, "jsonl", ["Hi", "Hello!"]),
    ],
)  # fmt: skip
def test_every_chat_export_is_read(tmp_path: Path, entry: Any, kind: str, messages: list[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    (tmp_path / "b.jsonl").write_text(json.dumps(entry) + "\n")
    collected(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    out = tmp_path.parent / f"{tmp_path.name}-out"
    assert said(out) == [messages, messages]
    assert {record["source"]["kind"] for record in records(out)} == {kind}


def test_a_preference_becomes_two_records_of_one_conversation(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}))
    collected(tmp_path / "a.jsonl", tmp_path / "out")
    up, down = records(tmp_path / "out")
    assert (up["feedback"], down["feedback"]) == ("up", "down")
    assert up["conversation"] == down["conversation"]
    assert up["id"] != down["id"]


def test_tool_calls_and_tools_are_kept_with_arguments_as_a_json_string(tmp_path: Path) -> None:
    call = {"id": "c1", "function": {"name": "find_order", "arguments": {"order_id": "A-1"}}}
    messages = [
        TALK[0], {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sent"}, {"role": "assistant", "content": "It was sent."},
    ]  # fmt: skip
    tools = [{"type": "function", "function": {"name": "find_order", "parameters": {}}}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages, "tools": tools}))
    collected(tmp_path / "a.jsonl", tmp_path / "out")
    (record,) = records(tmp_path / "out")
    assert json.loads(record["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"order_id": "A-1"}
    assert record["messages"][2]["tool_call_id"] == "c1"
    assert record["tools"] == tools


MALFORMED = {
    b"{": "not_json",
    b'{"text": "\xff"}': "not_utf8",
    b'{"text": "\\ud800"}': "not_unicode",
    b'{"n": NaN}': "not_json",
    b"[" * 5_000: "not_json",
    b"[1]": "not_object",
    b'{"a": 1}': "unknown_columns",
    b'{"messages": []}': "no_messages",
    b'{"messages": [{"role": "user", "content": "a"}]}': "one_sided",
    b'{"messages": [{"role": "wizard", "content": "a"}]}': "bad_role",
    b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}': "not_text",
    b'{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]}':
        "bad_tool_call",
    b'{"question": "", "answer": "x"}': "missing_value",
    b'{"text": "t", "feedback": "meh"}': "bad_feedback",
    b'{"text": "t", "licence": ["mit"]}': "bad_terms",
    b'{"text": "t", "conversation": {}}': "bad_conversation",
    b'{"text": "t", "tools": [{"function": {"n": 1e999}}]}': "not_json",
}  # fmt: skip


def test_an_answer_that_is_not_to_be_learned_keeps_its_weight() -> None:
    said = [{**TALK[0], "weight": 0}, {**TALK[1], "weight": 0}, TALK[0], {**TALK[1], "weight": 1}]
    assert check_messages(said) == [TALK[0], {**TALK[1], "weight": 0}, TALK[0], TALK[1]]


def test_each_malformed_entry_is_counted_and_set_aside_with_its_reason(tmp_path: Path) -> None:
    good = json.dumps({"messages": TALK}).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([good, *MALFORMED, b"", good]))
    counts = collected(tmp_path / "a.jsonl", tmp_path / "out")
    assert counts["records"] == 2
    assert sum(counts["set_aside"].values()) == len(MALFORMED)
    assert [entry["reason"] for entry in aside(tmp_path / "out")] == list(MALFORMED.values())
    assert [entry["source"]["position"] for entry in aside(tmp_path / "out")] == [*range(1, len(MALFORMED) + 1)]


def test_a_table_is_read_by_its_columns_or_as_messages_of_conversations(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text('Question,Answer,Note\n"Open, today?",Yes,x\n,No,\nToo,many,cells,here\n')
    (tmp_path / "talk.csv").write_text("conversation,role,content\n7,user,Hi\n7,assistant,Hello!\n8,user,Alone\n")
    counts = collected(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    out = tmp_path.parent / f"{tmp_path.name}-out"
    assert said(out) == [["Open, today?", "Yes"], ["Hi", "Hello!"]]
    assert counts["set_aside"] == {"missing_value": 1, "wrong_width": 1, "one_sided": 1}


def test_a_missing_column_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("Frage,Antwort\nA,B\n")
    with pytest.raises(StepFailed, match="Frage, Antwort; say --columns"):
        collected(tmp_path / "faq.csv", tmp_path / "out")
    with pytest.raises(StepFailed, match="no column 'Reply'; it has 'Frage', 'Antwort'"):
        collected(tmp_path / "faq.csv", tmp_path / "out", {"user": "Frage", "assistant": "Reply"})
    assert not (tmp_path / "out").exists()
    collected(tmp_path / "faq.csv", tmp_path / "out", {"user": "Frage", "assistant": "Antwort"})
    assert said(tmp_path / "out") == [["A", "B"]]


def test_what_is_set_aside_is_masked_as_records_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "I am a@b.com", "answer": "Hello"}\n{"question": "c@d.com"\n')
    counts = collected(tmp_path / "a.jsonl", tmp_path / "out", terms=Terms("own", masked=True))
    written = (tmp_path / "out/records.jsonl").read_text() + (tmp_path / "out/set_aside.jsonl").read_text()
    assert "@" not in written
    assert counts["masked"] == {"email": 1}


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": TALK}) + "\n{\n")
    collected(tmp_path / "a.jsonl", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    collected(tmp_path / "a.jsonl", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(before) == ["manifest.json", "records.jsonl", "set_aside.jsonl"]


class Counted:
    """A source that notes how often it is read, and may die in the middle."""

    kind = "jsonl"
    fingerprint = "1"

    def __init__(self, name: str, die: bool = False) -> None:
        self.uri, self.die, self.read = f"test:{name}", die, 0

    def entries(self, scratch: Path) -> Any:
        self.read += 1
        yield Entry(0, "jsonl", {"messages": TALK})
        if self.die:
            raise KeyboardInterrupt
        yield Entry(1, "jsonl", {"messages": TALK})


def test_a_run_that_died_goes_on_behind_the_sources_that_it_had_read(tmp_path: Path) -> None:
    first, second = Counted("a"), Counted("b", die=True)
    with pytest.raises(KeyboardInterrupt):
        collect([(first, TERMS), (second, TERMS)], tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    second.die = False
    counts = collect([(first, TERMS), (second, TERMS)], tmp_path / "out", {})
    assert (counts["records"], first.read, second.read) == (4, 1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_finished_folder_stays_while_it_is_made_anew(tmp_path: Path) -> None:
    collect([(Counted("a"), TERMS)], tmp_path / "out", {})
    with pytest.raises(KeyboardInterrupt):
        collect([(Counted("b", die=True), TERMS)], tmp_path / "out", {})
    assert read_manifest(tmp_path / "out", "collected")["sources"][0]["uri"] == "test:a"


def test_what_was_collected_before_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": TALK}))
    for _ in range(2):
        assert collected(tmp_path, tmp_path / "out")["records"] == 1


def test_files_of_the_same_name_keep_their_records_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = set()
    for answer in ("Yes", "No"):
        (tmp_path / answer).mkdir()
        monkeypatch.chdir(tmp_path / answer)
        Path("faq.csv").write_text(f"question,answer\nOpen?,{answer}\n")
        collected(Path("faq.csv"), Path("out"))
        ids |= {record["id"] for record in records(Path("out"))}
    assert len(ids) == 2


def test_a_folder_that_no_step_made_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    with pytest.raises(StepFailed, match="made by no step"):
        collect([(Counted("a"), TERMS)], tmp_path / "home", {})
    assert (tmp_path / "home/letter.txt").read_text() == "dear"


def test_sources_without_one_record_are_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{\n")
    with pytest.raises(StepFailed, match="not one of 1 entries is a record; the first: not_json"):
        collected(tmp_path / "a.jsonl", tmp_path / "out")
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(StepFailed, match="not one record"):
        collected(tmp_path / "a.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_s3_prefix_is_read(tmp_path: Path, aws: None) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="material", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_object(Bucket="material", Key="in/a.jsonl", Body=json.dumps({"messages": TALK}))
    client.put_object(Bucket="material", Key="in/a.pdf", Body=b"%PDF")
    client.put_object(Bucket="material", Key="out/a.txt", Body=b"elsewhere")
    sources, unknown = find(["s3://material/in/"], None, {}, lambda: client)
    collect([(source, TERMS) for source in sources], tmp_path / "out", {"unknown_kind": unknown})
    (record,) = records(tmp_path / "out")
    assert record["source"]["uri"] == "s3://material/in/a.jsonl"
    assert read_manifest(tmp_path / "out", "collected")["counts"]["not_collected"] == {"unknown_kind": 1}


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str]:
        status = command.main([*arguments, "--out", str(tmp_path / "out")])
        return status, capsys.readouterr().err

    return call


def test_the_command_ends_with_2_and_one_line_for_bad_input(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "a.xyz").write_text("x")
    for arguments in (
        (), ("nowhere", "--licence", "own"), (str(tmp_path / "a.csv"),), (str(tmp_path / "a.csv"), "--licence", "own"),
        (str(tmp_path / "a.xyz"), "--licence", "own"),
    ):  # fmt: skip
        status, told = run(*arguments)
        assert (status, told.count("\n"), told.startswith("collect: ")) == (2, 1, True), told
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing_that_the_next_step_takes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word " * 100_000)
    program = [
        sys.executable, "-m", "scripts.training.collect", str(tmp_path / "a.txt"), "--licence", "own", "--out",
        str(tmp_path / "out"),
    ]  # fmt: skip

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    paths = os.pathsep.join(str(ROOT / part) for part in ("", "layers", "chalice-app", "inference"))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(program, preexec_fn=fill, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "raise the limit and run it again" in done.stderr
    assert not (tmp_path / "out").exists()
    assert subprocess.run(program, env=environment, capture_output=True, timeout=120).returncode == 0
