"""The table of base models: sizes as published, memory as torch takes it, only what fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training.choose.candidates import Candidate, load_candidates, measure
from training.choose.memory import RUNTIME, activations, fits, kv_bytes, load_instances, serving, training
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from scripts.operations.cost import load_prices
from scripts.training import models

TINY: dict[str, Any] = {
    "model_type": "qwen3", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Any:
    kind: Any = AutoModelForCausalLM
    return kind.from_config(AutoConfig.for_model(**TINY))


@pytest.mark.parametrize("candidate", load_candidates(), ids=lambda candidate: candidate.model.split("/")[-1])
def test_a_candidate_has_the_parameters_that_its_authors_publish(candidate: Candidate) -> None:
    assert candidate.shape().parameters == candidate.published_parameters


def test_training_takes_the_memory_of_weights_gradients_and_optimizer(tiny: Any) -> None:
    shape = measure(TINY)
    optimizer = torch.optim.AdamW(tiny.parameters())
    tiny(input_ids=torch.ones(1, 4, dtype=torch.long), labels=torch.ones(1, 4, dtype=torch.long)).loss.backward()
    optimizer.step()
    held = [t for p in tiny.parameters() for t in (p, p.grad, *optimizer.state[p].values()) if t.dim()]
    kept = training(shape, "full float32") - activations(shape, 2048) - RUNTIME
    assert kept == sum(tensor.numel() * tensor.element_size() for tensor in held)
    optimizer.zero_grad()


def test_serving_takes_the_memory_of_weights_and_of_keys_and_values(tiny: Any) -> None:
    shape = measure(TINY)
    cache: Any = DynamicCache()
    tiny(input_ids=torch.ones(1, 10, dtype=torch.long), past_key_values=cache)
    numbers = sum(t.numel() for layer in cache.layers for t in (layer.keys, layer.values))
    assert kv_bytes(shape) * 10 == 2 * numbers
    assert serving(shape, "bfloat16", tokens=10) == 2 * shape.parameters + 2 * numbers + RUNTIME


def test_an_adapter_has_as_many_parameters_as_peft_makes(tiny: Any) -> None:
    from peft import LoraConfig, get_peft_model

    tuned = get_peft_model(tiny, LoraConfig(r=8, target_modules="all-linear"))
    assert measure(TINY).adapter(8) == tuned.get_nb_trainable_parameters()[0]
    tuned.unload()


def test_int8_weights_take_what_torchao_leaves_of_them() -> None:
    shape = measure(TINY)
    matrices = sum(inputs * outputs for inputs, outputs in shape.linear)
    scales = sum(2 * outputs for _, outputs in shape.linear)
    expected = 2 * (shape.parameters - matrices) + matrices + scales
    assert serving(shape, "int8", tokens=0) == expected + RUNTIME


def test_bfloat16_does_not_fit_a_card_that_has_none_and_more_cards_divide_training() -> None:
    instances = load_instances()
    shape = next(c for c in load_candidates() if c.model.endswith("Llama-3.2-1B-Instruct")).shape()
    assert not any(fits(shape, instances["ml.g4dn.xlarge"])[way] for way in ("bfloat16", "int8", "lora bfloat16"))
    assert not fits(shape, instances["ml.g6.xlarge"])["full float32"]
    assert fits(shape, instances["ml.g6.12xlarge"])["full float32"]


def test_every_instance_with_a_price_is_known() -> None:
    assert set(load_prices()["instances_per_hour"]) <= set(load_instances())


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = models.main(arguments)
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def test_the_table_shows_what_fits_an_instance_with_its_cost_and_scores_beside(run: Run, tmp_path: Path) -> None:
    metrics = {"tool.name": {"value": 0.75, "low": None, "high": None, "n": 4, "better": "higher"}}
    (tmp_path / "metrics.json").write_text(json.dumps({"model": {"name": "Qwen3-0.6B"}, "metrics": metrics}))
    status, out, _ = run("--fit", "ml.g6.xlarge", "--scores", str(tmp_path), "--json")
    rows = {row["model"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["Qwen/Qwen3-0.6B"]["scores"] == {"tool.name": 0.75}
    assert rows["Qwen/Qwen3-4B"]["price"] == load_prices()["instances_per_hour"]["ml.g6.xlarge"]
    assert all(row["serve_gib"]["bfloat16"] < 22.5 for row in rows.values())
    assert list(rows) == sorted(rows, key=lambda name: rows[name]["parameters"])
    _, out, _ = run("--fit", "ml.g6.xlarge", "--method", "full float32", "--scores", str(tmp_path))
    assert "SmolLM2-360M" in out
    assert "Qwen3-8B" not in out
    assert "0.750" in out


def test_scores_that_are_none_end_with_2(run: Run, tmp_path: Path) -> None:
    status, _, err = run("--scores", str(tmp_path))
    assert (status, err.count("\n")) == (2, 1)
    assert "no finished evaluation folder" in err
