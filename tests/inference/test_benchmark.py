"""`scripts/bench inference --quick` runs whole, and its numbers agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from scripts.benchmarks import inference
from scripts.benchmarks.inference_peers import StaticBatch
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
    assert set(figures["choices"]) >= {"together_8x24", "together_2x275", "laid_out_1", "laid_out_32"}
    assert all(ratio > 0 for name, ratio in figures["choices"].items() if name != "model")
    assert figures["http"]["parley"]["tokens_per_second"] > 0
    assert json.loads((tmp_path / "inference.json").read_text()) == figures
    assert (tmp_path / "inference.md").read_text().strip() in printed.out
    ElementTree.fromstring((tmp_path / "inference.svg").read_text())


def test_a_peer_without_memory_is_a_line_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> Outcome:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(StaticBatch, "run", greedy)
    monkeypatch.setattr(inference, "_http", lambda *_: {"model": "tiny", "clients": 1})
    status = inference.main(["--quick", "--clients", "1", "--models", "tiny"])
    printed = capsys.readouterr()
    assert "| tiny | 1 | static batch | failed: out of memory |" in printed.out
    figures = json.loads(printed.out.splitlines()[-1])
    assert status == 0, printed.err
    assert {cell["peer"] for cell in figures["cells"] if "failed" not in cell} >= {"one by one", "parley"}


def test_the_models_for_a_gpu_are_as_large_as_they_are_called() -> None:
    for name, billions in (("0.6B", 0.6), ("4B", 4.0), ("8B", 8.2), ("Llama-8B", 8.0)):
        model = make_model(name, "meta")
        assert model.dtype is torch.bfloat16
        assert sum(parameter.numel() for parameter in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.03)


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
