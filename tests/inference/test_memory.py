"""Memory: what fits is planned from what the device has, and running out of it costs one request at most."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.runner import SlotRunner
from engine.sequence import Finish
from hypothesis import given
from hypothesis import strategies as st
from memory import LEAST_WINDOW, Need, TooSmall, available_bytes, plan

from tests.inference.engines import generate, run_until_idle, scheduler, sequence
from tests.inference.server import Server, user


@given(
    budget=st.integers(0, 1 << 40),
    window=st.integers(LEAST_WINDOW, 1 << 20),
    need=st.builds(Need, st.integers(1, 1 << 20), st.integers(1, 100), st.integers(0, 1 << 20)),
    share=st.floats(0, 0.9),
)
def test_a_plan_never_promises_more_than_the_budget(budget: int, window: int, need: Need, share: float) -> None:
    try:
        found = plan(budget, window, need, share)
    except TooSmall:
        assert budget < LEAST_WINDOW * (2 * need.per_token + need.per_prompt_token)
        return
    assert found.window <= window
    assert found.window <= found.running
    keys = (found.running + found.reuse) * need.per_token
    assert keys + keys // need.layers + found.window * need.per_prompt_token <= budget
    assert found.reuse >= 0


def test_a_window_that_fits_stays_and_reuse_gives_way_before_it() -> None:
    need = Need(per_token=100, layers=100, per_prompt_token=0)
    assert plan(101_000, 500, need, 0.25).window == 500
    tight = plan(101 * 510, 500, need, 0.25)
    assert (tight.window, tight.reuse) == (500, 10)
    assert plan(101 * 300, 500, need, 0.25).window == 300


def machine(root: Path, free: int) -> Path:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {free >> 10} kB\n")
    return root


def test_a_containers_limit_counts_and_its_cached_files_are_free(tmp_path: Path) -> None:
    root = machine(tmp_path, 8 << 30)
    assert available_bytes(root) == 8 << 30
    group = root / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert available_bytes(root) == 8 << 30
    (group / "memory.max").write_text(f"{2 << 30}\n")
    (group / "memory.current").write_text(f"{1 << 30}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {256 << 20}\n")
    assert available_bytes(root) == (1 << 30) + (256 << 20)
    (group / "memory.current").write_text(f"{9 << 30}\n")
    assert available_bytes(root) == 0


def test_the_older_kind_of_container_limit_counts_too(tmp_path: Path) -> None:
    root = machine(tmp_path, 8 << 30)
    group = root / "sys/fs/cgroup/memory"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{1 << 30}")
    (group / "memory.usage_in_bytes").write_text(f"{256 << 20}")
    (group / "memory.stat").write_text("total_inactive_file 0\n")
    assert available_bytes(root) == 768 << 20


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the limit is Linux's")
def test_a_limit_of_the_address_space_counts() -> None:
    code = "from memory import available_bytes; print(available_bytes())"
    most = 1 << 30
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2] / "inference",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < int(found.stdout) < most


@pytest.mark.parametrize("layer", [0, 1])
def test_memory_that_runs_out_while_rows_grow_costs_one_request(model: Any, layer: int) -> None:
    batch = scheduler(SlotRunner(model), rows=4)
    first = sequence([5, 6, 7], 60, stop_ids=frozenset())
    batch.waiting.push([first])
    batch.step()
    runner: Any = batch.runner
    growing = runner.slots.slot_layers[layer]
    honest = growing.resize

    def resize(*shape: int) -> None:
        growing.resize = honest
        raise torch.OutOfMemoryError("CUDA out of memory")

    growing.resize = resize
    unlucky, later = sequence([8, 9], 200), sequence([9, 8], 200)
    batch.waiting.push([unlucky, later])
    run_until_idle(batch)
    assert unlucky.finished is Finish.ERROR
    assert first.output == generate(model, first.prompt, 60)[: len(first.output)]
    assert len(first.output) == 60
    assert later.output == generate(model, later.prompt, 200)


@pytest.mark.parametrize("call", ["prefill", "decode"])
def test_memory_that_runs_out_in_a_forward_costs_one_request(model: Any, call: str) -> None:
    batch = scheduler(SlotRunner(model), rows=4)
    runner: Any = batch.runner
    honest = runner._forward

    def forward(ids: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        if (call == "prefill") == (ids.shape[1] > 1) and bool((ids == 13).any()):
            raise torch.OutOfMemoryError("CUDA out of memory")
        result: torch.Tensor = honest(ids, *rest, **more)
        return result

    runner._forward = forward
    unlucky = sequence([5, 13], 3) if call == "prefill" else sequence([5, 6], 3)
    good = sequence([6, 7, 8], 12)
    batch.waiting.push([unlucky, good])
    if call == "decode":
        batch.step()
        unlucky.output[-1] = 13
    run_until_idle(batch)
    assert unlucky.finished is Finish.ERROR
    assert good.output == generate(model, good.prompt, 12)


def test_a_small_budget_shortens_the_window_and_a_crowd_is_served_inside_it(model_folder: Path) -> None:
    # 256 bytes a token: two layers, keys and values, two heads of eight float32 each.
    arguments = ["--model", str(model_folder), "--kv-bytes", "60000", "--queue", "16", "--threads", "1"]
    with Server(arguments) as server:
        assert "the window is 156 tokens, not 512" in server.logged()
        too_long = server.post(user("word " * 200, max_tokens=4))
        assert too_long[0] == 400
        assert "152" in too_long[1]["error"]["message"]
        with ThreadPoolExecutor(40) as pool:
            results = list(pool.map(lambda i: server.post(user(f"Hello {i}", max_tokens=60)), range(80)))
        assert {status for status, _, _ in results} <= {200, 503}
        assert all(int(headers["retry-after"]) >= 1 for status, _, headers in results if status == 503)
        assert sum(status == 200 for status, _, _ in results) >= 16
        server.until("kv_tokens", 0)
        assert server.post(user("Hi", max_tokens=2))[0] == 200


def test_no_room_for_any_conversation_is_one_line(model_folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "inference/serve.py", "--port", "0", "--model", str(model_folder), "--kv-bytes", "9999"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 2
    assert "give the server more memory" in found.stderr
    assert "Traceback" not in found.stderr
