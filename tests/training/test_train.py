"""Training: the same result after a kill, on two processes as on one, by every method; bad input is told in a line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training import train
from training.command import Progress
from training.embedded import recipe
from training.packed import PackedRows, collate
from training.trainer import Settings, is_whole, rate
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.waiting import until

ROOT = Path(__file__).parents[2]
SHARDED = Path(__file__).with_name("sharded.py")
SMALL = ["--width", "64", "--layers", "2", "--device", "cpu", "--threads", "1"]
RUN = ["--method", "scratch", "--steps", "8", "--rows", "2", "--checkpoint-every", "3", *SMALL]
ENDING = Path(__file__).with_name("ending.py")
ALONE = {**os.environ, "PYTHONPATH": str(ROOT / "inference"), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of some thirty conversations, packed with the tokenizer of the model in `base`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("data") / "prepared"
    recipe.prepare(folder, tokens=8_000, seed=3, progress=Progress("test"), tokenizer_dialogues=60, validation=4)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained without interruption."""
    out = tmp_path_factory.mktemp("models") / "whole"
    assert train.main([str(data), "--out", str(out), *RUN]) == 0
    return out


@pytest.fixture
def base(data: Path, tmp_path: Path) -> Path:
    """An untrained model with the tokenizer that the data was prepared with."""
    from training.embedded.architecture import build_model

    tokenizer: Any = AutoTokenizer.from_pretrained(data / "tokenizer")
    torch.manual_seed(0)
    model = build_model(tokenizer, width=64, layers=2, inner=64)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def command(data: Path, out: Path) -> list[str]:
    """`RUN` as a process of its own."""
    return [sys.executable, "-m", "training.train", str(data), "--out", str(out), *RUN]


def losses(model: Path) -> list[list[float]]:
    found: list[list[float]] = json.loads((model / "training.json").read_text("utf-8"))["losses"]
    return found


def heights(model: Path) -> list[float]:
    """The losses without their steps."""
    return [loss for _, loss in losses(model)]


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it refuses, which is one line."""
    capsys.readouterr()
    assert train.main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("train: ")
    return said


def test_a_model_folder_is_whole_and_the_loss_has_fallen(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "training.json", "manifest.json", "loss.svg"} <= names
    assert "checkpoints" not in names
    assert losses(trained)[-1][1] < losses(trained)[0][1]
    assert AutoTokenizer.from_pretrained(trained).chat_template
    AutoModelForCausalLM.from_pretrained(trained)


def test_killed_in_the_middle_and_run_again_it_ends_with_the_same_weights(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    checkpoints = tmp_path / ".again.partial" / "checkpoints"
    process = subprocess.Popen(command(data, out), env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: (checkpoints / "checkpoint-3" / "complete.json").exists() or process.poll() is not None, 120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_whole(checkpoints / "checkpoint-3")
    assert not out.exists()
    # a kill while a checkpoint was being written leaves one like this behind
    shutil.rmtree(checkpoints / "checkpoint-6", ignore_errors=True)
    (checkpoints / "checkpoint-6").mkdir()
    (checkpoints / "checkpoint-6" / "model.safetensors").write_bytes(b"half")
    assert train.main([str(data), "--out", str(out), *RUN]) == 0
    assert losses(out) == losses(trained)
    assert same_weights(out, trained)


def processes(arguments: list[str], *other: str) -> list[subprocess.Popen[bytes]]:
    """Two that train together over gloo, as torchrun would start them; the second is given `other` as well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**ALONE, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [*arguments, *(other if rank else ())],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": "0" if other else str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]


def finish(started: list[subprocess.Popen[bytes]]) -> None:
    said = [process.communicate(timeout=180)[1].decode()[-2000:] for process in started]
    assert [process.returncode for process in started] == [0, 0], said


def test_processes_that_are_done_end_well_while_gloo_still_holds_tensors() -> None:
    finish(processes([sys.executable, str(ENDING)]))


def test_two_processes_learn_what_one_learns(data: Path, trained: Path, tmp_path: Path) -> None:
    finish(processes(command(data, tmp_path / "two")))
    assert heights(tmp_path / "two") == pytest.approx(heights(trained), abs=2e-3)


def test_a_model_sharded_over_two_processes_survives_a_kill_and_is_whole_at_the_end(
    data: Path, base: Path, tmp_path: Path
) -> None:
    tune = ["--method", "full", "--base", str(base), "--learning-rate", "0.003", *RUN[2:6], "--checkpoint-every", "3"]
    tune += ["--device", "cpu", "--threads", "1"]
    assert train.main([str(data), "--out", str(tmp_path / "one"), *tune]) == 0
    out = tmp_path / "sharded"
    tuning = [sys.executable, str(SHARDED), str(data), "--out", str(out), *tune, "--fsdp"]
    started = processes(tuning)
    written = tmp_path / ".sharded.partial" / "checkpoints" / "checkpoint-3" / "complete.json"
    until(lambda: written.exists() or started[0].poll() is not None, 120)
    for process in started:
        process.kill()
        process.communicate()
    assert written.exists()
    finish(processes(tuning))
    assert heights(out) == pytest.approx(heights(tmp_path / "one"), abs=2e-3)
    one, sharded = (load_file(folder / "model.safetensors") for folder in (tmp_path / "one", out))
    assert {name: (w.dtype, w.shape) for name, w in one.items()} == {
        name: (w.dtype, w.shape) for name, w in sharded.items()
    }
    assert not list(out.glob("*.bin"))


def test_two_machines_that_share_no_disk_learn_what_one_learns(data: Path, trained: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "here" / "two", tmp_path / "there" / "two"
    finish(processes(command(data, out), "--out", str(elsewhere)))
    assert heights(out) == pytest.approx(heights(trained), abs=2e-3)
    assert not elsewhere.exists()


def test_machines_that_hold_different_checkpoints_do_not_go_on(data: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "here" / "two", tmp_path / "there" / "two"
    checkpoint = out.parent / ".two.partial" / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "complete.json").write_text("{}", "utf-8")
    started = processes(command(data, out), "--out", str(elsewhere))
    said = [process.communicate(timeout=180)[1].decode() for process in started]
    assert [process.returncode for process in started] == [2, 2], said
    assert "checkpoints differ (process 0 checkpoint-3, process 1 none)" in said[0]


def test_sharding_without_gpus_is_refused(data: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune = ["--method", "full", "--base", str(base), "--steps", "2", "--rows", "2", "--device", "cpu", "--fsdp"]
    assert "torchrun" in refusal([str(data), "--out", str(base.parent / "out"), *tune], capsys)
    assert not (base.parent / "out").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_base_model_is_tuned(
    method: str, data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    more = ["--gradient-checkpointing", "--bf16"] if method == "lora" else []
    arguments = [str(data), "--out", str(out), "--method", method, "--base", str(base), "--steps", "4", "--rows", "2"]
    assert train.main([*arguments, "--learning-rate", "0.003", *SMALL, *more]) == 0
    assert capsys.readouterr().out == ""
    assert losses(out)[-1][1] < losses(out)[0][1]
    assert not same_weights(out, base)
    assert (out / "adapter").exists() == (method == "lora")
    assert json.loads((out / "training.json").read_text("utf-8"))["method"] == method


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_learns_what_another_learns(data: Path, trained: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "compiled"
    subprocess.run([*command(data, compiled), "--compile"], env=ALONE, check=True, timeout=180)
    assert heights(compiled) == pytest.approx(heights(trained), abs=2e-3)


def test_without_a_compiler_compiling_is_refused(data: Path, tmp_path: Path) -> None:
    environment = {**ALONE, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    compiling = [*command(data, tmp_path / "compiled"), "--compile"]
    ended = subprocess.run(compiling, env=environment, capture_output=True, timeout=180)
    said = ended.stderr.decode().splitlines()[-1]
    assert ended.returncode == 2
    assert said.startswith("train: torch.compile failed")
    assert said.endswith("leave out --compile")


def test_preferences_are_learned_from_thumbs(data: Path, base: Path, tmp_path: Path) -> None:
    pairs = [
        {
            "id": str(number),
            "prompt": [{"role": "user", "content": f"Where is order {number}?"}],
            "chosen": [{"role": "assistant", "content": "It is on its way."}],
            "rejected": [{"role": "assistant", "content": "No idea."}],
        }
        for number in range(6)
    ]
    folder = tmp_path / "prepared"
    shutil.copytree(data, folder)
    (folder / "preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
    out = tmp_path / "preferred"
    arguments = [str(folder), "--out", str(out), "--method", "dpo", "--base", str(base), "--steps", "3", "--rows", "2"]
    assert train.main([*arguments, "--learning-rate", "0.005", *SMALL]) == 0
    assert losses(out)[-1][1] < 0.69 < losses(out)[0][1] + 0.01


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = Settings(steps=100, rows=1, learning_rate=1.0, warm_up=0.1, decay=0.5)
    assert [rate(step, settings) for step in (0, 9, 49, 75, 99)] == [0.1, 1.0, 1.0, 0.5, 0.02]


def test_documents_in_a_row_do_not_see_each_other(data: Path) -> None:
    from training import attention

    attention.register()
    rows = PackedRows(data / "packed" / "train.safetensors")
    batch = collate([rows[0], rows[1]])
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(_config(len(AutoTokenizer.from_pretrained(data / "tokenizer")))).eval()
    start, end = batch["cu_seq_lens_q"][1:3].tolist()
    with torch.inference_mode():
        alone = model(batch["input_ids"][:, start:end]).logits
        model.set_attn_implementation(attention.NAME)
        keys = ("input_ids", "position_ids", "cu_seq_lens_q")
        packed = model(**{key: batch[key] for key in keys}).logits[:, start:end]
    assert torch.allclose(packed, alone, atol=1e-4)


def _config(vocabulary: int) -> Any:
    from transformers import AutoConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return AutoConfig.for_model("qwen2", vocab_size=vocabulary, **sizes, **heads)


def test_bad_input_is_told_in_one_line_and_leaves_nothing(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "never"
    tuned = ["--out", str(out), "--method", "full", "--base", str(base), "--rows", "2", *SMALL]
    assert "is no finished prepared folder" in refusal([str(tmp_path), *tuned], capsys)
    assert "needs --base" in refusal([str(data), "--out", str(out), "--method", "lora"], capsys)
    assert "takes no --base" in refusal([str(data), "--out", str(out), "--method", "scratch", "--base", "x"], capsys)
    assert "at least 1" in refusal([str(data), *tuned, "--steps", "0"], capsys)
    assert "a step takes 5000" in refusal([str(data), *tuned, "--rows", "5000"], capsys)
    assert "preferences.jsonl is missing" in refusal([str(data), *tuned, "--method", "dpo"], capsys)

    config = json.loads((base / "config.json").read_text("utf-8"))
    (base / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    assert "--context 512" in refusal([str(data), *tuned], capsys)
    (base / "config.json").write_text(json.dumps(config))

    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "cannot be loaded" in refusal([str(data), *tuned], capsys)
    (base / "model.safetensors").write_bytes(weights)

    (base / "chat_template.jinja").unlink()
    assert "no chat template" in refusal([str(data), *tuned], capsys)
    assert not out.exists()


def test_data_that_lacks_a_column_or_is_cut_short_is_refused(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "prepared"
    shutil.copytree(data, folder)
    packed = folder / "packed" / "train.safetensors"
    arguments = [str(folder), "--out", str(tmp_path / "never"), "--method", "full", "--base", str(base), *SMALL]
    tensors = load_file(packed)
    save_file({name: tensor for name, tensor in tensors.items() if name != "loss_mask"}, packed)
    assert "has no loss_mask" in refusal(arguments, capsys)
    packed.write_bytes(packed.read_bytes()[:5000])
    assert "cannot be read" in refusal(arguments, capsys)
    packed.unlink()
    assert "has no packed/train.safetensors" in refusal(arguments, capsys)


def test_a_finished_checkpoint_that_was_damaged_later_is_not_taken(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / ".never.partial" / "checkpoints" / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"half")
    (checkpoint / "complete.json").write_text('{"model.safetensors": 1000}')
    arguments = [str(data), "--out", str(tmp_path / "never"), "--method", "full", "--base", str(base), "--rows", "2"]
    assert "cut short or changed; delete" in refusal([*arguments, *SMALL], capsys)


def test_a_full_disk_is_told_and_leaves_no_model(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # what a write gets then is like what a full disk gives
    try:
        said = refusal([str(data), "--out", str(tmp_path / "never"), *RUN], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "run it again to go on" in said
    assert not (tmp_path / "never").exists()
