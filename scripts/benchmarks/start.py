"""`scripts/bench start`: how long the model server takes from its start to /ping 200, by part, medians of several runs.

Each run is a fresh process on the same files; the first, which may read them from disk, is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
QUESTION = {"messages": [{"role": "user", "content": "What is Parley?"}], "max_tokens": 1}


def main(arguments: list[str]) -> int:
    """Print a table, then one line of JSON; 1 when a server did not start."""
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", help="a folder or hub id; default: the embedded model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    command = ["--port", "0", "--device", given.device, *(["--model", given.model] if given.model else [])]
    runs = []
    for number in range(given.runs + 1):
        print(f"run {number} of {given.runs}", file=sys.stderr)
        try:
            runs.append(measure(command))
        except StartFailed as error:
            print(f"bench start: {error}", file=sys.stderr)
            return 1
    first, rest = runs[0], runs[1:]
    medians = {part: round(statistics.median(run[part] for run in rest), 3) for part in first}
    print(f"{'part':28}{'first run':>12}{'median':>12}   seconds")
    for part, value in medians.items():
        print(f"{part:28}{first[part]:12.3f}{value:12.3f}")
    print(json.dumps({"benchmark": "start", "runs": given.runs, "first": first, "median": medians}))
    return 0


class StartFailed(Exception):
    """The server ended before it was ready; the message is its last line."""


def measure(command: list[str]) -> dict[str, float]:
    """Seconds of one start by part, in order; `total` is from the process's start to /ping 200."""
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    interpreter = time.perf_counter() - bare
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "inference/serve.py"), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        assert process.stdout is not None  # for the type checker: both are pipes
        found = re.fullmatch(r"ready (\S+)\n", process.stdout.readline())
        if found is None:
            raise StartFailed(process.communicate()[1].strip().rpartition("\n")[2] or "the server said nothing")
        with DIRECT.open(f"{found[1]}/ping", timeout=30) as answer:
            answer.read()
        total = time.perf_counter() - begun
        answers = [_ask(found[1]) for _ in range(2)]
    finally:
        process.terminate()
    log = process.communicate()[1]
    parts = re.search(r"loaded .* in (\{.*\})", log)
    if parts is None:
        raise StartFailed("its log does not say where the time went")
    seconds: dict[str, float] = json.loads(parts[1])
    rest = total - interpreter - sum(seconds.values())
    timed = {"interpreter": interpreter, "settings, port": rest, **seconds, "total": total}
    timed |= {"first answer, one token": answers[0], "second answer": answers[1]}
    return {part: round(value, 3) for part, value in timed.items()}


def _ask(url: str) -> float:
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(QUESTION).encode(), method="POST")
    begun = time.perf_counter()
    with DIRECT.open(request, timeout=60) as answer:
        answer.read()
    return time.perf_counter() - begun
