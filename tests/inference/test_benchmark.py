"""`scripts/bench inference --quick` runs whole, and its numbers agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.benchmarks import inference
from scripts.benchmarks.inference_workload import Outcome, floor_seconds, make_model, requests


def test_the_quick_run_measures_every_peer_and_finds_the_same_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = inference.main(["--quick", "--clients", "3", "--out", str(tmp_path)])
    printed = capsys.readouterr()
    figures = json.loads(printed.out.splitlines()[-1])
    assert status == 0, printed.err
    assert {cell["peer"] for cell in figures["cells"]} == {"one by one", "static batch", "generate_batch", "parley"}
    for cell in figures["cells"]:
        assert (cell["mismatches"], cell["compared"]) == (0, 4)
        assert cell["tokens_per_second"] > 0
        assert 0 < cell["first_ms_p50"] <= cell["first_ms_p95"] <= cell["latency_ms_p95"]
        assert 0 < cell["share_of_floor"] < 1
    assert figures["reuse"]["hit_rate"] > 0
    assert figures["reuse"]["mismatches"] == 0
    assert figures["http"]["parley"]["tokens_per_second"] > 0
    assert json.loads((tmp_path / "inference.json").read_text()) == figures
    assert (tmp_path / "inference.md").read_text().strip() in printed.out
    ElementTree.fromstring((tmp_path / "inference.svg").read_text())


def test_all_peers_get_the_same_requests_and_the_floor_counts_what_is_read() -> None:
    model = make_model("tiny", "cpu")
    work = requests(model, 5, seed=3)
    assert work == requests(model, 5, seed=3)
    assert all(50 <= len(one.prompt) <= 500 and 16 <= one.answer <= 128 for one in work)
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    together, alone = floor_seconds(model, work, 5, 1.0), floor_seconds(model, work, 1, 1.0)
    saved = sum(one.answer for one in work) - max(one.answer for one in work)
    assert alone - together == pytest.approx(weights * saved)


def test_a_rate_counts_the_tokens_that_were_asked_for() -> None:
    assert Outcome(2.0, [[1, 2, 3], [4]], [0.1, 0.2], [1.0, 2.0]).rate == 2.0
    assert inference.quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert inference.quantile([3.0, 1.0, 2.0, 4.0], 0.95) == 4.0


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert inference.main(["--models", "7T"]) == 2
    assert "7T" in capsys.readouterr().err
