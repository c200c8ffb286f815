"""Follows inference/Dockerfile without Docker, and serves from the result as SageMaker would.

Installs into an empty virtual environment, copies what the image copies to where it lies in the image, starts the
entry point with `serve` and a model in /opt/ml/model, waits for the health check, asks one question, and stops it by
SIGTERM. /opt is another folder for these processes alone (Linux's mount namespaces); apt-get and useradd are left out.
Takes some minutes and up to 10 GB (torch brings CUDA with it), which are given back.

Exit status: 0 if all of it worked, 1 if not, 2 where it cannot be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NAMESPACE = ["unshare", "--mount", "--map-root-user"]
NEEDS_ROOT = ("apt-get", "useradd")
QUESTION = {"messages": [{"role": "user", "content": "What is Parley?"}], "max_tokens": 8}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    keyword: str
    rest: str


class CheckFailed(Exception):
    """Why the image would not serve, in one line."""


def instructions(text: str) -> list[Instruction]:
    """A Dockerfile's instructions in order, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def build_script(steps: list[Instruction], opt: Path, model: Path) -> str:
    """A shell script for a mount namespace: `opt` becomes /opt, every step is done, and the entry point takes over."""
    lines = [
        "set -euo pipefail",
        # What the host has in /opt stays there: its package sources may be among it.
        f'for old in /opt/*/; do new="{opt}/$(basename "$old")"; mkdir -p "$new"; mount --rbind "$old" "$new"; done',
        f"mount --rbind {opt} /opt",
        "mkdir -p /opt/ml/model",
        f"cp -r {shlex.quote(str(model))}/. /opt/ml/model/",
    ]
    entry: list[str] = []
    for step in steps:
        if step.keyword == "ENV":
            lines += [f"export {pair}" for pair in shlex.split(step.rest)]
        elif step.keyword == "RUN" and step.rest.split()[0] not in NEEDS_ROOT:
            lines += [f"echo {shlex.quote('image: ' + step.rest[:60])} >&2", f"( {step.rest} ) >&2"]
        elif step.keyword == "COPY":
            *sources, target = step.rest.split()
            folder = len(sources) == 1 and (ROOT / sources[0]).is_dir()
            lines += [f"mkdir -p {target}", f"cp -r {' '.join(sources)}{'/.' if folder else ''} {target}"]
        elif step.keyword == "WORKDIR":
            lines.append(f"cd {step.rest}")
        elif step.keyword in ("ENTRYPOINT", "CMD"):
            entry += json.loads(step.rest)
    return "\n".join([*lines, f"exec {shlex.join(entry)}"])


def health_check(steps: list[Instruction]) -> list[str]:
    """The command of the image's health check."""
    (check,) = (step.rest for step in steps if step.keyword == "HEALTHCHECK")
    command: list[str] = json.loads(check[check.index("CMD") + 3 :])
    return command


def main(arguments: list[str]) -> int:
    """Check, and say how each step went on stderr."""
    parser = argparse.ArgumentParser(prog="scripts/check-image", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", type=Path, default=ROOT / "inference/model", help="for /opt/ml/model")
    given = parser.parse_args(arguments)
    if not (given.model / "config.json").is_file():
        print(f"check-image: {given.model} holds no config.json; give --model a folder of a model", file=sys.stderr)
        return 2
    try:
        subprocess.run([*NAMESPACE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("check-image: this needs Linux with user namespaces; build the image with Docker here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="parley-image-", dir="/var/tmp") as folder:
        try:
            _check(Path(folder), given.model.resolve())
        except CheckFailed as error:
            print(f"check-image: {error}", file=sys.stderr)
            return 1
    print("check-image: the image's steps install, its entry point serves, and SIGTERM ends it")
    return 0


def _check(folder: Path, model: Path) -> None:
    steps = instructions((ROOT / "inference/Dockerfile").read_text("utf-8"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "PYTHON", "SAGEMAKER_", "VIRTUAL_"))}
    opt = folder / "opt"
    opt.mkdir()
    begun = time.monotonic()
    process = subprocess.Popen(
        [*NAMESPACE, "bash", "-c", build_script(steps, opt, model)],
        cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None  # for the type checker: a pipe
        said = process.stdout.readline()
        ready = re.fullmatch(r"ready (\S+)\n", said)
        if ready is None:
            raise CheckFailed(f"the image's steps or its entry point failed, see above (it said {said!r})")
        print(f"check-image: ready after {time.monotonic() - begun:.0f} s", file=sys.stderr)
        healthy = health_check(steps)
        if subprocess.run([sys.executable, *healthy[1:]], env=clean, check=False).returncode:
            raise CheckFailed("the health check fails though the server is ready")
        request = urllib.request.Request(f"{ready[1]}/invocations", json.dumps(QUESTION).encode(), method="POST")
        with DIRECT.open(request, timeout=60) as answer:
            text = json.load(answer)["choices"][0]["message"]["content"]
        print(f"check-image: it answers {text!r}", file=sys.stderr)
        process.send_signal(signal.SIGTERM)
        if status := process.wait(30):
            raise CheckFailed(f"after SIGTERM the server ended with status {status}")
    except (OSError, urllib.error.URLError, subprocess.TimeoutExpired) as error:
        raise CheckFailed(f"{type(error).__name__}: {error}") from error
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
