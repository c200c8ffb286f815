"""Loading weights: no second copy in host memory, and precisions that cannot be had say what to do."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import ModelUnavailable, load
from safetensors.torch import load_file
from settings import Settings
from weights import CannotQuantise, check, lay_out, place, read_ahead, weight_bytes

from tests.inference.tiny_model import make_model

INFERENCE = Path(check.__code__.co_filename).parent

MEASURE = """
import json, re, sys, torch
from transformers import AutoModelForCausalLM
import transformers.models.qwen3.modeling_qwen3
from weights import load_weights, weight_bytes

def anonymous(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before, files = anonymous("RssAnon"), anonymous("RssFile")
model = load_weights(AutoModelForCausalLM, sys.argv[1], getattr(torch, sys.argv[2]), "cpu")
model(torch.tensor([[1, 2, 3]]))
print(json.dumps({"copied": anonymous("RssAnon") - before, "peak": anonymous("VmHWM") - before - files,
                  "weights": weight_bytes(model), "tied": model.lm_head.weight is model.model.embed_tokens.weight}))
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 MB in bfloat16, 200 in float32: tied weights, in several files."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("sharded")
    config = Qwen3Config(
        vocab_size=8000, hidden_size=640, intermediate_size=2560, num_hidden_layers=7, num_attention_heads=10,
        num_key_value_heads=5, head_dim=64, tie_word_embeddings=True, max_position_embeddings=512,
    )  # fmt: skip
    with torch.device("meta"):
        model: Any = Qwen3ForCausalLM(config)
    model = model.to_empty(device="cpu").to(torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    model.tie_weights()
    model.save_pretrained(folder, max_shard_size="40MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured through Linux's /proc")
@pytest.mark.parametrize(("dtype", "copies", "peak"), [("bfloat16", 0.1, 1.3), ("float32", 1.1, 1.8)])
def test_weights_are_never_in_host_memory_twice(sharded: Path, dtype: str, copies: float, peak: float) -> None:
    # Converted weights are one copy; the mapped files, half as large, count into the peak but can be given back.
    found = subprocess.run(
        [sys.executable, "-c", MEASURE, str(sharded), dtype], cwd=INFERENCE, capture_output=True, text=True, check=True
    )
    seen = json.loads(found.stdout)
    assert seen["tied"]
    assert seen["weights"] > 90e6
    assert seen["copied"] < copies * seen["weights"]
    assert seen["peak"] < peak * seen["weights"] + (32 << 20)


def test_weights_cast_where_they_go_are_those_that_the_library_casts(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    make_model(380).save_pretrained(tmp_path)
    known = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert model.dtype is torch.float32
    place(model, torch.bfloat16, "cpu")
    assert model.dtype is model.config.dtype is torch.bfloat16
    assert all(torch.equal(tensor, known.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert {b.dtype for b in model.buffers()} == {b.dtype for b in known.buffers()} == {torch.float32}
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(ids).logits, known(ids).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_weights_laid_out_for_a_cpu_are_the_same_weights(tied: bool) -> None:
    model = make_model(380, "qwen2", tie_word_embeddings=tied)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        logits = model(ids).logits
        lay_out(model)
        torch.testing.assert_close(model(ids).logits, logits)
    assert model.lm_head.weight.stride() == (1, 380)
    assert model.model.layers[0].mlp.down_proj.weight.is_contiguous()
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_converted_weights_are_those_of_the_files(sharded: Path) -> None:
    from transformers import AutoModelForCausalLM
    from weights import load_weights

    model = load_weights(AutoModelForCausalLM, str(sharded), torch.float32, "cpu")
    parameters = dict(model.named_parameters())
    stored = {name: t for file in sharded.glob("*.safetensors") for name, t in load_file(file).items()}
    assert set(stored) - {"lm_head.weight"} == set(parameters) - {"lm_head.weight"}
    assert all(torch.equal(parameters[name], tensor.float()) for name, tensor in stored.items() if name in parameters)
    assert weight_bytes(model) == sum(p.numel() for p in parameters.values()) * 4


def test_reading_ahead_is_no_condition(tmp_path: Path) -> None:
    read_ahead(str(tmp_path))
    read_ahead("somebody/some-model")


def test_fp8_without_such_a_gpu_is_refused_in_one_line(model_folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"compute capability 8\.9.*Use --weights int8\.$") as caught:
        load(Settings(model=str(model_folder), device="cpu", weights="fp8"))
    assert "\n" not in str(caught.value)


def test_without_torchao_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(CannotQuantise, match="pip install torchao=="):
        check("int8", "cpu")


# Not among the tests' requirements: where it is installed transformers imports it at every start, for half a second.
@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is optional, and not installed here")
def test_int8_weights_are_smaller_and_answer_nearly_alike(model: Any) -> None:
    import copy

    from weights import quantise

    small = copy.deepcopy(model)
    quantise(small, "int8")
    assert weight_bytes(small) < 0.7 * weight_bytes(model)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        plain, rounded = model(ids).logits, small(ids).logits
    assert 0 < (plain - rounded).abs().max() < 0.2 * plain.abs().max()
