"""The container without Docker: what the Dockerfile copies, started by its own entry point as SageMaker does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request

from tests.inference.server import DEADLINE, DIRECT, user

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "inference/Dockerfile").read_text("utf-8").splitlines()
INSIDE = "/opt/parley/"


def test_what_the_dockerfile_copies_serves_under_sagemakers_environment(tmp_path: Path, model_folder: Path) -> None:
    for _, *sources, target in (line.split() for line in LINES if line.startswith("COPY") and INSIDE in line):
        folder = tmp_path / target.removeprefix(INSIDE)
        for source in (found for pattern in sources for found in ROOT.glob(pattern)):
            if source.is_dir():
                shutil.copytree(source, folder)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder)
    (entry,) = (json.loads(line.removeprefix("ENTRYPOINT ")) for line in LINES if line.startswith("ENTRYPOINT"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "PYTHON"))}
    given = {"SAGEMAKER_BIND_TO_PORT": str(port), "PARLEY_MODEL": str(model_folder), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / entry[1].removeprefix(INSIDE)), "serve"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**environment, **given},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready http://127.0.0.1:{port}\n"
        assert DIRECT.open(f"http://127.0.0.1:{port}/ping", timeout=DEADLINE).status == 200
        body = json.dumps(user("hi", max_tokens=2)).encode()
        request = Request(f"http://127.0.0.1:{port}/invocations", body, method="POST")
        assert json.loads(DIRECT.open(request, timeout=DEADLINE).read())["usage"]["completion_tokens"] == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
