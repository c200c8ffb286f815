"""The container without Docker: what the Dockerfile copies, started by its own entry point as SageMaker does.

`scripts/check-image` does the same with everything installed anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request

import pytest

from scripts.deployment.image_check import build_script, health_check, instructions, main
from tests.inference.server import DEADLINE, DIRECT, user

ROOT = Path(__file__).resolve().parents[2]
STEPS = instructions((ROOT / "inference/Dockerfile").read_text("utf-8"))
INSIDE = "/opt/parley/"


def rests(keyword: str) -> list[str]:
    return [step.rest for step in STEPS if step.keyword == keyword]


def test_what_the_dockerfile_copies_serves_under_sagemakers_environment(tmp_path: Path, model_folder: Path) -> None:
    for _, *sources, target in (["", *rest.split()] for rest in rests("COPY") if INSIDE in rest):
        folder = tmp_path / target.removeprefix(INSIDE)
        for source in (found for pattern in sources for found in ROOT.glob(pattern)):
            if source.is_dir():
                shutil.copytree(source, folder)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder)
    (entry,), (argument,) = (json.loads(rests(keyword)[0])[-1:] for keyword in ("ENTRYPOINT", "CMD"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "PYTHON"))}
    environment |= {"SAGEMAKER_BIND_TO_PORT": str(port), "PARLEY_MODEL": str(model_folder), "HF_HUB_OFFLINE": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        ["sh", str(tmp_path / entry.removeprefix(INSIDE)), argument],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready http://127.0.0.1:{port}\n"
        healthy = [sys.executable, *health_check(STEPS)[1:]]
        assert subprocess.run(healthy, env=environment, check=False).returncode == 0
        body = json.dumps(user("hi", max_tokens=2)).encode()
        request = Request(f"http://127.0.0.1:{port}/invocations", body, method="POST")
        assert json.loads(DIRECT.open(request, timeout=DEADLINE).read())["usage"]["completion_tokens"] == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def test_the_image_is_pinned_and_its_server_is_not_root() -> None:
    (base,) = rests("FROM")
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu24\.04", base)
    assert rests("USER") == ["parley"]
    # What changes most comes last, so that a change of code ships the code's layers alone.
    order = [step.rest for step in STEPS if step.keyword == "COPY"]
    assert [rest.split()[0] for rest in order] == [
        "constraints.txt",
        "inference/model",
        "inference/engine",
        "inference/*.py",
    ]


@pytest.mark.parametrize(
    ("driver", "links"),
    [("535.183.01", True), ("580.65.06", False), ("580.95.05", False), ("590.1", False), (None, False)],
)
def test_an_older_driver_gets_cudas_compatibility_libraries(tmp_path: Path, driver: str | None, links: bool) -> None:
    compat = tmp_path / "compat"
    compat.mkdir()
    (compat / "libcuda.so.580.65.06").touch()
    (compat / "libcuda.so.1").symlink_to("libcuda.so.580.65.06")
    version = tmp_path / "version"
    if driver:
        line = (
            f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release Build\nGCC version: 13.2.0\n"
        )
        version.write_text(line)
    shutil.copy(ROOT / "inference/start.sh", tmp_path)
    (tmp_path / "serve.py").write_text("import os, sys; print(os.environ.get('LD_LIBRARY_PATH', ''), *sys.argv[1:])")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "CUDA_COMPAT": str(compat), "NVIDIA_DRIVER": str(version)}
    done = subprocess.run(
        ["sh", str(tmp_path / "start.sh"), "serve"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == (f"{compat} serve\n" if links else " serve\n")
    assert done.stderr == ""


def test_the_check_of_the_image_follows_its_steps(tmp_path: Path) -> None:
    script = build_script(STEPS, tmp_path / "opt", tmp_path / "model").splitlines()
    assert script[-1] == "exec sh /opt/parley/inference/start.sh serve"
    assert "cp -r inference/engine/. /opt/parley/inference/engine" in script
    assert any("pip install --compile --requirement /tmp/requirements/requirements.txt" in line for line in script)
    assert not any("apt-get" in line or "useradd" in line for line in script)
    assert "export PATH=/opt/venv/bin:$PATH" in script


def test_the_check_of_the_image_wants_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
