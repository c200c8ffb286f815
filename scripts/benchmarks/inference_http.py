"""Our server and `transformers serve` as processes over HTTP: the same requests, whole answers, in turn.

`transformers serve` needs fastapi and opentelemetry-api, which nothing else here does: they come from a folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.inference_workload import make_model
from tests.inference.tiny_model import TEXTS, make_tokenizer

SERVE = Path(__file__).resolve().parents[2] / "inference" / "serve.py"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
START_SECONDS = 300.0


def measure_http(name: str, clients: int, device: str, peers: Path | None, quick: bool) -> dict[str, Any]:
    """Tokens a second and p95 latency of each server, and why one could not be measured."""
    figures: dict[str, Any] = {"model": name, "clients": clients}
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder, ExitStack() as open_servers:
        _save(name, device, folder)
        commands = {"parley": [str(SERVE), "--model", folder, "--name", folder, "--port", "{port}", "--device", device]}
        if peers is None and importlib.util.find_spec("fastapi") is None:
            figures["missing"] = (
                "transformers serve was not measured: pip install --no-deps --target DIR fastapi opentelemetry-api, "
                "then --peers DIR"
            )
        else:
            commands["transformers serve"] = [
                "-m", "transformers.cli.transformers", "serve", folder, "--continuous-batching", "--cb-block-size",
                "256", "--cb-num-blocks", str(max(8, 3 * clients)), "--cb-max-batch-tokens", "512", "--host",
                "127.0.0.1", "--port", "{port}", "--device", device, "--attn-implementation", "sdpa",
            ]  # fmt: skip
        servers = {peer: open_servers.enter_context(_server(command, peers)) for peer, command in commands.items()}
        work = _bodies(folder, 3 if quick else 2 * clients, quick)
        for url in servers.values():
            _load(url, work[:1], 1)
        runs: dict[str, list[tuple[float, float]]] = {peer: [] for peer in servers}
        for _ in range(1 if quick else 3):
            for peer, url in servers.items():
                runs[peer].append(_load(url, work, clients))
    for peer, found in runs.items():
        figures[peer] = {
            "tokens_per_second": round(statistics.median(rate for rate, _ in found), 2),
            "latency_ms_p95": round(statistics.median(late for _, late in found) * 1000, 1),
        }
    return figures


def _save(name: str, device: str, folder: str) -> None:
    """The model with a tokenizer that knows every one of its ids and ends nothing."""
    tokenizer = make_tokenizer(TEXTS)
    tokenizer.eos_token = None
    make_model(name, device, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _bodies(model: str, count: int, quick: bool) -> list[bytes]:
    """Requests of 50 to 450 characters, which are about as many tokens, and answers of 16 to 128."""
    dice = random.Random(5)
    bodies = []
    for _ in range(count):
        text = "".join(dice.choice("abcdefghij klmno") for _ in range(dice.randint(50, 450)))
        bodies.append(
            {
                "model": model,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": 8 if quick else dice.randint(16, 128),
                "temperature": 0,
            }
        )
    return [json.dumps(body).encode() for body in bodies]


def _load(url: str, work: list[bytes], clients: int) -> tuple[float, float]:
    """Tokens a second, and the p95 latency in seconds. RuntimeError when an answer is not as long as asked for."""

    def ask(body: bytes) -> float:
        begun = time.perf_counter()
        request = urllib.request.Request(url + "/v1/chat/completions", body, {"Content-Type": "application/json"})
        with DIRECT.open(request, timeout=600) as answer:
            tokens = json.load(answer)["usage"]["completion_tokens"]
        if tokens != json.loads(body)["max_tokens"]:
            raise RuntimeError(f"a server answered with {tokens} tokens")
        return time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        latencies = sorted(pool.map(ask, work))
    seconds = time.perf_counter() - begun
    asked = sum(json.loads(body)["max_tokens"] for body in work)
    return asked / seconds, latencies[max(0, -(-95 * len(latencies) // 100) - 1)]


@contextmanager
def _server(command: list[str], peers: Path | None) -> Iterator[str]:
    """A server's address, once it answers; ended afterwards. RuntimeError when it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if peers is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(peers.resolve()), environment.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, *(part.replace("{port}", str(port)) for part in command)],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url + ("/ping" if command[0] == str(SERVE) else "/health"), log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Any) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with DIRECT.open(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"a server did not start: {log.read()[-300:]}")
