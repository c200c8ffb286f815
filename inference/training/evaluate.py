"""`scripts/evaluate`: a model's answers to the shipped sets, its metrics, and a report; two models side by side."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from training.command import Progress, conclude
from training.errors import StepFailed
from training.evaluation import metrics, report, verdicts
from training.evaluation.client import Client
from training.evaluation.server import serving
from training.folders import git_revision, locked, replace_folder, sha256, write_file, write_json
from training.records import Malformed, parse_line, to_line

PROGRAM = "evaluate"
SETS = Path(__file__).parent / "evaluation" / "sets"
KEY = "PARLEY_EVALUATE_KEY"

Item = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/evaluate",
        description=(__doc__ or "").splitlines()[0],
        epilog=f"The key is taken from {KEY} when --key is not given. Stopped, the same command goes on where it was.",
    )
    made.add_argument("--model", help="a model folder, served for as long as it takes; with --url the name to ask for")
    made.add_argument("--url", help="base address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    made.add_argument("--key", help="the server's key; better in the environment")
    made.add_argument("--out", type=Path, required=True, help="the evaluation folder to write")
    made.add_argument(
        "--sets", nargs="+", metavar="SET", help="names of shipped sets, or .jsonl files; default: all shipped"
    )
    made.add_argument("--against", type=Path, help="another evaluation folder, set beside this one in the report")
    made.add_argument("--limit", type=int, help="items a set, evenly spread, for a quick look")
    made.add_argument("--parallel", type=int, default=8, help="questions at a time; default: %(default)s")
    made.add_argument("--threads", type=int, help="of the server that is started for a folder")
    made.add_argument("--max-tokens", type=int, default=160, help="of an answer; default: %(default)s")
    return made


def main(given: Sequence[str] | None = None) -> int:
    """The command's exit status."""
    options = parser().parse_args(given)
    return conclude(PROGRAM, lambda: evaluate(options))


def evaluate(options: argparse.Namespace) -> int:
    """Measures as asked and writes the evaluation folder."""
    if not options.url and not options.model:
        raise StepFailed("say what to measure: --model FOLDER, or --url ADDRESS --model NAME")
    if not options.url and not (Path(options.model) / "config.json").is_file():
        raise StepFailed(f"{options.model} is no model folder; to measure a server, add --url")
    if options.parallel < 1 or (options.limit is not None and options.limit < 1):
        raise StepFailed("--parallel and --limit must be at least 1")
    other = _read_metrics(options.against) if options.against else None
    sets = {
        path.stem: path for path in map(_find_set, options.sets or sorted(path.stem for path in SETS.glob("*.jsonl")))
    }
    items = [item for path in sets.values() for item in _spread(read_items(path), options.limit)]
    out = options.out.resolve()
    if out.exists() and not (out / "metrics.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StepFailed(f"{out} is there and is no evaluation; name another folder, or move it away")
    partial = out.with_name(f".{out.name}.partial")
    progress = Progress(PROGRAM)
    with locked(partial, f"another run is writing {out}; wait for it, or name another folder"):
        with _address(options) as url:
            client = Client(url, options.key or os.environ.get(KEY, "none"), options.model or "default")
            about = _identity(options)
            answers = ask(
                client, items, partial / "answers.jsonl", json.dumps(about, sort_keys=True), options, progress
            )
        rows = [
            {"item": item, "answer": answer, "scores": verdicts.judge(item, answer)}
            for item, answer in zip(items, answers, strict=True)
        ]
        evaluation = {
            "format": 1, "kind": "evaluation", "model": about, "git_revision": git_revision(),
            "sets": {name: sha256(path) for name, path in sets.items()}, "metrics": metrics.summarise(rows),
        }  # fmt: skip
        write_file(partial / "answers.jsonl", b"".join(map(to_line, rows)))
        write_file(partial / "report.html", report.report(evaluation, rows, other).encode())
        write_json(partial / "metrics.json", evaluation)
        replace_folder(partial, out)
    print(table(evaluation))
    progress.say(f"wrote {out}; open {out / 'report.html'}")
    return 0


def ask(
    client: Client, items: Sequence[Item], log: Path, about: str, options: argparse.Namespace, progress: Progress
) -> list[dict[str, Any]]:
    """An answer for each item. What `log` has of the same model and question is not asked again."""
    known: dict[str, dict[str, Any]] = {}
    if log.exists():
        for line in log.read_bytes().splitlines():
            with contextlib.suppress(Malformed, KeyError, TypeError):  # the last line may be cut short by a kill
                row = parse_line(line)
                known[row["key"]] = row["answer"]
    keys = [
        hashlib.sha256((about + json.dumps([item["messages"], item.get("tools")], sort_keys=True)).encode()).hexdigest()
        for item in items
    ]
    with log.open("ab") as lines, ThreadPoolExecutor(options.parallel) as pool:
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        if log.stat().st_size:
            lines.write(b"\n")
        try:
            answers = pool.map(lambda item: client.answer(item, options.max_tokens), missing.values())
            for number, (key, answer) in enumerate(zip(missing, answers, strict=True), 1):
                known[key] = answer
                lines.write(to_line({"key": key, "answer": answer}))
                lines.flush()
                progress(f"{number:,} of {len(missing):,} questions answered")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [known[key] for key in keys]


def read_items(path: Path) -> list[Item]:
    """The items of a set. Raises StepFailed for an empty file or a line that is no item."""
    items = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            item = parse_line(line)
        except Malformed as error:
            raise StepFailed(f"{path}:{number} is no item ({error})") from None
        missing = [name for name in ("id", "category", "language", "messages", "expect") if name not in item]
        if missing:
            raise StepFailed(f"{path}:{number} lacks {', '.join(missing)}")
        items.append(item)
    if not items:
        raise StepFailed(f"{path} has no items")
    return items


def table(evaluation: dict[str, Any]) -> str:
    """The metrics for people."""
    lines = []
    for name, entry in evaluation["metrics"].items():
        between = "" if entry["low"] is None else f"  {entry['low']:8.3f} to {entry['high']:.3f}"
        lines.append(f"  {name:40} {entry['value']:9.3f}{between:22}  n {entry['n']}")
    return "\n".join(lines)


def _find_set(name: str) -> Path:
    path = Path(name) if name.endswith(".jsonl") else SETS / f"{name}.jsonl"
    if not path.is_file():
        shipped = ", ".join(sorted(path.stem for path in SETS.glob("*.jsonl")))
        raise StepFailed(f"there is no set {name!r}; the shipped ones are {shipped}; or give a .jsonl file")
    return path


def _spread(items: list[Item], limit: int | None) -> list[Item]:
    if limit is None or limit >= len(items):
        return items
    return [items[at * len(items) // limit] for at in range(limit)]


def _read_metrics(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "metrics.json").read_bytes())
    except (OSError, ValueError):
        raise StepFailed(f"{folder} is no evaluation folder: its metrics.json cannot be read") from None
    return found


@contextlib.contextmanager
def _address(options: argparse.Namespace) -> Iterator[str]:
    if options.url:
        yield options.url
        return
    with serving(Path(options.model), options.threads) as url:
        yield url


def _identity(options: argparse.Namespace) -> dict[str, str]:
    if options.url:
        return {"name": options.model or "default", "url": options.url}
    folder = Path(options.model)
    weights = sorted(folder.glob("*.safetensors"))
    digest = hashlib.sha256("".join(sha256(path) for path in weights).encode()).hexdigest()
    return {"name": folder.resolve().name, "path": str(folder), "sha256": digest}


if __name__ == "__main__":
    sys.exit(main())
