"""Preparing: what leaves is counted with its reason, splits never move, held-out words are not learned."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from training.errors import StepFailed
from training.folders import read_manifest, write_manifest
from training.prepare import __main__ as command
from training.prepare.cleaning import Filters, language, normalise, why_not
from training.prepare.duplicates import Duplicates, HeldOut, shingles
from training.prepare.preparing import Settings, prepare
from training.prepare.splitting import SPLITS, split
from training.records import read_records, write_records

MODEL = Path(__file__).parents[2] / "inference/model"
Record = dict[str, Any]


def scramble(word: str, n: int) -> str:
    """32 characters that look random."""
    return hashlib.sha256(f"{word}{n}".encode()).hexdigest()[:32]


def talk(question: str, answer: str, n: int = 0, **more: Any) -> Record:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    id = scramble(question + answer, n)
    return {
        "id": id,
        "conversation": id,
        "messages": messages,
        "source": {},
        "licence": "own",
        "language": None,
        **more,
    }


def text(words: str) -> Record:
    return {"id": scramble(words, 0), "conversation": scramble(words, 0), "text": words, "language": None}


def collected(folder: Path, records: Sequence[Record]) -> Path:
    folder.mkdir()
    write_records(folder / "records.jsonl", records)
    counts: dict[str, Any] = {"set_aside": {}, "not_collected": {}, "masked": {}}
    write_manifest(folder, "collected", [], counts=counts, sources=[])
    return folder


def many(count: int) -> list[Record]:
    """Records that have hardly a run of characters in common."""
    return [talk(f"{n}? " + scramble("q", n), f"{scramble('a', n)} is number {n}.") for n in range(count)]


def removed(folder: Path) -> dict[str, str]:
    return {e["id"]: e["reason"] for e in map(json.loads, (folder / "removed.jsonl").read_text("utf-8").splitlines())}


def test_text_is_brought_into_one_form_that_means_the_same() -> None:
    assert normalise("Cafe\u0301\r\nx²\x00 ①，\ufeff \t\nend  ") == "Caf\u00e9\nx² ①，\nend"


@pytest.mark.parametrize(
    ("words", "tag"),
    [
        ("Where is my order, please?", "en"), ("我的order在哪里", "zh"), ("これは日本語です", "ja"),
        ("안녕하세요 여러분", "ko"), ("yes please", "en"), ("ok", "und"),
        ("¿Dónde está mi pedido, por favor?", "es"), ("123 :-)", "und"),
    ],
)  # fmt: skip
def test_the_language_is_told_by_script_and_words(words: str, tag: str) -> None:
    assert language(words) == tag


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (talk("Hi", "x"), "too_short"),
        (text("Too short"), "too_short"),
        (talk("Hi", "word " * 100_000), "too_long"),
        (talk("Hi", "Yes, of course, at once. " * 200), "repetitive"),
        (talk("Hi", "=-=-" * 60 + "ok"), "no_prose"),
        (talk("Hi", "caf\ufffd \ufffd\ufffd"), "garbled"),
        (talk("Hi", " "), "empty_answer"),
        (talk("Hi", "Bonjour", language="fr"), "language"),
        (talk("Hi", "Good day", language="en"), None),
    ],
)
def test_what_is_not_worth_learning_goes_with_its_reason(record: Record, reason: str | None) -> None:
    record["language"] = record["language"] or "en"
    found = why_not(record, Filters(languages=["en", "zh"]))
    assert (found[0] if found else None) == reason


def test_repeats_are_found_to_the_letter_and_nearly_and_others_are_not() -> None:
    seen = Duplicates(0.85)
    base = "The shop opens at nine in the morning and closes at six in the evening, except on Sundays and holidays."
    first = talk("When are you open?", base)
    assert seen.found(first) is None
    assert seen.found(talk("When are  you OPEN?", base)) == ("duplicate", first["id"])
    assert seen.found(talk("When are you open?", base.replace("nine", "ten"))) == ("near_duplicate", first["id"])
    assert seen.found(talk("Do you deliver?", "We deliver within three days, at no cost from 30 euros on.")) is None
    assert Duplicates(1.0).found(first) is None
    assert seen.found(talk("营业时间？", "我们每天上午九点开门，晚上六点关门，周日休息。")) is None


def test_near_repeats_are_found_as_their_jaccard_similarity_says() -> None:
    words = [scramble("w", n)[:7] for n in range(400)]
    base = " ".join(words[:200])
    missed = wrong = 0
    for n in range(40):
        changed = n  # so many words of 200 are others
        other = " ".join(words[200 : 200 + changed] + words[changed:200])
        one, two = set(shingles(f"x\n{base}")), set(shingles(f"x\n{other}"))
        similarity = len(one & two) / len(one | two)
        seen = Duplicates(0.8)
        seen.found(talk("x", base))
        found = seen.found(talk("x", other)) is not None
        missed += similarity > 0.9 and not found
        wrong += similarity < 0.7 and found
    assert (missed, wrong) == (0, 0)


def test_what_overlaps_with_an_evaluation_set_is_found(tmp_path: Path) -> None:
    sets = tmp_path / "set.jsonl"
    long = "please tell me how I can return a pair of shoes that I bought three weeks ago"
    asked = [{"role": "system", "content": "Be kind to all who ask."}, {"role": "user", "content": long}]
    items = [{"messages": asked}, {"question": "What do you sell?", "answer": "Shoes."}, {"prompt": "有什么新品"}]
    sets.write_text("\n".join(json.dumps(item) for item in items))
    held_out = HeldOut([sets], 13)
    assert held_out.overlap(talk(f"Hello! {long.upper()}, thanks", "Sure."))
    assert held_out.overlap(talk("what do you sell", "Shoes."))
    assert held_out.overlap(talk("有什么新品？", "没有"))
    assert held_out.overlap(text(f"Somebody asked: {long}"))
    assert not held_out.overlap(talk("What is on your feet?", "Shoes."))
    assert not held_out.overlap(talk("how I can return a pair of shoes", "Sure."))
    assert not held_out.overlap(talk("Be kind to all who ask.", "I am."))
    sets.write_text('{"id": 1}')
    with pytest.raises(StepFailed, match="has no user's messages"):
        HeldOut([sets], 13)


def test_a_conversation_stays_in_its_split_when_the_data_grows() -> None:
    shares = {"validation": 0.1, "test": 0.1}
    few = split([f"c{n}" for n in range(500)], shares, 1)
    more = split([f"c{n}" for n in range(5_000)], shares, 1)
    assert all(more[name] == where for name, where in few.items())
    sizes = [list(more.values()).count(name) / 5_000 for name in SPLITS]
    assert sizes == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@pytest.mark.parametrize("count", range(3, 12))
def test_few_conversations_leave_no_split_empty(count: int) -> None:
    found = split([f"c{n}" for n in range(count)], {"validation": 0.05, "test": 0.05}, 1)
    assert set(found.values()) == set(SPLITS)


def test_every_record_is_in_one_split_or_removed_with_a_reason(tmp_path: Path) -> None:
    records = many(120)
    records += [records[0] | {"id": "again"}, talk("x", "y")]
    pieces = [
        text(f"Piece {n}: {scramble('t', n)} {scramble('u', n)}") | {"conversation": "one book"} for n in range(30)
    ]
    source = collected(tmp_path / "in", records + pieces)
    made = prepare([source], tmp_path / "out", Settings(validation=0.2, test=0.2))
    where = {name: list(read_records(tmp_path / "out" / f"{name}.jsonl")) for name in SPLITS}
    gone = removed(tmp_path / "out")
    assert gone["again"] == "duplicate"
    assert sum(map(len, where.values())) + len(gone) == made["counts"]["collected"] == 152
    conversations = [{record["conversation"] for record in where[name]} for name in SPLITS]
    assert len(set().union(*conversations)) == sum(map(len, conversations))
    assert all(len(found) > 5 for found in conversations)
    tags = [record["language"] for found in where.values() for record in found]
    assert {tag: tags.count(tag) for tag in set(tags)} == made["counts"]["languages"]
    assert made["splits"]["train"]["records"] == len(where["train"])


def test_the_report_shows_what_left_and_loads_nothing(tmp_path: Path) -> None:
    source = collected(tmp_path / "in", [*many(20), many(1)[0] | {"id": "<script>"}])
    prepare([source], tmp_path / "out", Settings())
    report = (tmp_path / "out/report.html").read_text("utf-8")
    assert "− duplicate" in report
    assert report.count("<svg") >= 3
    assert "<script>" not in report
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", report)


def test_thumbs_become_preference_pairs_and_disliked_answers_are_not_learned(tmp_path: Path) -> None:
    good = talk("Do you open on Sunday?", "No, on Monday again.", feedback="up")
    bad = talk("Do you open on Sunday?", "Whatever you want.", feedback="down")
    alone = talk("Nobody answered this well", "Go away now.", feedback="down")
    source = collected(tmp_path / "in", [good, bad, alone, *many(20)])
    made = prepare([source], tmp_path / "out", Settings(validation=0, test=0))
    (pair,) = map(json.loads, (tmp_path / "out/preferences.jsonl").read_text().splitlines())
    assert pair["chosen"][0]["content"] == "No, on Monday again."
    assert pair["rejected"][0]["content"] == "Whatever you want."
    assert pair["prompt"] == good["messages"][:1]
    assert made["counts"]["removed"] == {"feedback_down": 2}
    assert bad["id"] not in {record["id"] for record in read_records(tmp_path / "out/train.jsonl")}


def test_of_repeats_the_one_that_was_liked_stays_for_its_pair(tmp_path: Path) -> None:
    asked, answer = "Do you open on Sunday?", "No, on Monday again."
    plain, liked = talk(asked, answer, 1), talk(asked, answer, 2, feedback="up")
    source = collected(tmp_path / "in", [plain, liked, talk(asked, "Who knows?", feedback="down"), *many(20)])
    prepare([source], tmp_path / "out", Settings(validation=0, test=0))
    assert removed(tmp_path / "out")[plain["id"]] == "duplicate"
    assert len((tmp_path / "out/preferences.jsonl").read_text().splitlines()) == 1


def test_a_conversation_and_its_beginning_are_no_near_repeats_and_another_ones_is() -> None:
    seen = Duplicates(0.85)
    first = talk("When are you open?", "At nine in the morning, every day but on Sundays and on holidays in spring.")
    longer = {**first, "id": "2" * 32, "messages": [*first["messages"], *talk("Ok", "Bye")["messages"]]}
    assert seen.found(first) is None
    assert seen.found(longer) is None
    assert seen.found({**longer, "id": "3" * 32, "messages": [*first["messages"], *talk("Ok", "By")["messages"]],
                       "conversation": "another"}) is not None  # fmt: skip


PACKED = Settings(tokenizer=str(MODEL), context=128, validation=0.2, test=0.2)


def test_the_same_folders_and_settings_give_the_same_bytes(tmp_path: Path) -> None:
    source = collected(tmp_path / "in", many(30))
    for name in ("one", "two"):
        prepare([source], tmp_path / name, PACKED)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert Path("packed/train.safetensors") in files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_run_that_was_killed_anywhere_ends_with_the_same_folder(tmp_path: Path) -> None:
    source = collected(tmp_path / "in", [*many(30), talk("long", " ".join(scramble("l", n) for n in range(20)))])
    prepare([source], tmp_path / "whole", PACKED)
    said = 0

    def die_at(number: int) -> Callable[[str], None]:
        def say(what: str) -> None:
            nonlocal said
            said += 1
            if said == number:
                raise KeyboardInterrupt

        return say

    for number in (5, 40, 12):  # while cleaning, packing, and packing what was left
        said = 0
        with pytest.raises(KeyboardInterrupt):
            prepare([source], tmp_path / "out", PACKED, die_at(number))
        assert not (tmp_path / "out").exists()
    prepare([source], tmp_path / "out", PACKED)
    assert removed(tmp_path / "out") == removed(tmp_path / "whole")
    for name in SPLITS:
        file = f"packed/{name}.safetensors"
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert (
        read_manifest(tmp_path / "out", "prepared")["splits"] == read_manifest(tmp_path / "whole", "prepared")["splits"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_conversations_that_do_not_fit_are_removed_and_texts_are_cut_into_windows(tmp_path: Path) -> None:
    long = talk("long", " ".join(scramble("l", n) for n in range(50)))
    book = text(" ".join(scramble("t", n) for n in range(100)))
    source = collected(tmp_path / "in", [*many(5), long, book])
    made = prepare([source], tmp_path / "out", replace(PACKED, validation=0, test=0))
    assert removed(tmp_path / "out") == {long["id"]: "longer_than_context"}
    assert made["counts"]["removed"] == {"longer_than_context": 1}
    packed = load_file(tmp_path / "out/packed/train.safetensors")
    tokens = made["splits"]["train"]["tokens"]
    assert tokens > 100 * 8
    assert made["splits"]["train"]["learned_tokens"] == packed["loss_mask"].sum()
    assert packed["input_ids"].shape == packed["position_ids"].shape == packed["loss_mask"].shape
    assert packed["input_ids"].dtype == np.int32


def test_bad_input_is_one_line_that_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = collected(tmp_path / "one", many(1))
    empty = collected(tmp_path / "empty", [])
    five = collected(tmp_path / "five", many(5))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((MODEL / name).read_bytes())
    (tmp_path / "unfinished").mkdir()
    cases = {
        (str(one),): "1 conversations are left, too few for train, validation, test",
        (str(empty),): "not one of 0 records is left",
        (str(tmp_path / "unfinished"),): "no finished collected folder",
        (str(five), "--tokenizer", str(bare)): "has no chat template",
        (str(five), "--tokenizer", str(tmp_path / "nowhere")): "there is no folder",
        (str(five), "--tokenizer", str(MODEL), "--context", "99999"): "longer than the model's 1024",
        (str(five), "--languages", "fr"): "not one of 5 records is left: 5 language",
    }
    for arguments, told in cases.items():
        status = command.main([*arguments, "--out", str(tmp_path / "out")])
        error = capsys.readouterr().err
        assert (status, error.count("\n")) == (2, 1), error
        assert told in error
        assert not (tmp_path / "out").exists()
