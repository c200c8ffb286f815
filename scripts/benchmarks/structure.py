"""`scripts/bench structure`: libraries that keep a model to a JSON Schema, side by side.

Compares llguidance (in use), xgrammar and outlines-core, those of them that are installed; it installs nothing. To
compare all: `pip install --no-deps --target DIR xgrammar apache-tvm-ffi outlines-core`, then `--peers DIR`. Each runs
in fresh processes, in turn, with the same tokenizer, schema and answer. Reported are medians: import time (torch and
transformers are there already, as in the server), installed size with what it alone needs, first use of the tokenizer,
compiling a new schema, and one token (its mask computed, then accepted).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "llguidance": ("llguidance", ()),
    "xgrammar": ("xgrammar", ("apache-tvm-ffi",)),
    "outlines-core": ("outlines_core", ()),
}
"""Distribution: its module, and the distributions that only it needs here."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{6}$"},
        "kind": {"enum": ["refund", "return", "exchange"]},
        "lines": {
            "type": "array",
            "maxItems": 8,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "count": {"type": "integer"}, "gift": {"type": "boolean"}},
                "required": ["name", "count", "gift"],
                "additionalProperties": False,
            },
        },
        "note": {"type": "string", "maxLength": 200},
    },
    "required": ["order", "kind", "lines", "note"],
    "additionalProperties": False,
}
ANSWER = {
    "order": "AB123456",
    "kind": "refund",
    "lines": [{"name": f"A blue shirt in size {n}", "count": n, "gift": n % 2 == 0} for n in range(1, 7)],
    "note": "The parcel came late and two of the shirts had been torn on the way, so please send the money back.",
}
Step = Callable[[int], None]


def main(arguments: list[str]) -> int:
    """Print the table, and JSON as the last line; the exit status: 2 when no peer is installed."""
    parser = argparse.ArgumentParser("scripts/bench structure", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--vocabulary", type=int, default=128_000, help="tokens of the made-up tokenizer (default %(default)s)"
    )
    parser.add_argument("--model", help="a folder with a tokenizer to use instead")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes for each library (default %(default)s)")
    parser.add_argument("--peers", help="a folder with further installed packages")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.peers:
        sys.path.append(given.peers)
    if given.peer:
        print(json.dumps(measure(given.peer, given.model, given.vocabulary)))
        return 0
    missing = [name for name in PEERS if not _version(name)]
    there = [name for name in PEERS if name not in missing]
    if not there:
        print(f"structure: none of {', '.join(PEERS)} is installed", file=sys.stderr)
        return 2
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in there}
    for turn in range(given.rounds):
        for name in there:
            print(f"structure: round {turn + 1} of {given.rounds}, {name}", file=sys.stderr)
            found[name].append(_child(name, given))
    rows = {name: _medians(results) | {"size_mb": _size(name)} for name, results in found.items()}
    _print(rows, missing)
    print(json.dumps(rows))
    return 0


def measure(peer: str, model: str | None, vocabulary: int) -> dict[str, Any]:
    """One library in this process, from its import on. Times in ms, a token's in µs."""
    import torch  # noqa: F401 - the server has both in memory before a grammar is asked for
    import transformers  # noqa: F401

    begun = time.perf_counter()
    __import__(PEERS[peer][0])
    imported = time.perf_counter() - begun
    tokenizer = load_tokenizer(model, vocabulary)
    ids: list[int] = tokenizer(json.dumps(ANSWER), add_special_tokens=False)["input_ids"]
    begun = time.perf_counter()
    compile_schema = BUILDERS[peer](tokenizer)
    ready = time.perf_counter() - begun
    begun = time.perf_counter()
    start = compile_schema(json.dumps(SCHEMA))
    compiled = time.perf_counter() - begun
    spent: list[float] = []
    for _ in range(5):
        step = start()
        for token in ids:
            begun = time.perf_counter()
            step(token)
            spent.append(time.perf_counter() - begun)
    return {
        "import_ms": imported * 1e3,
        "tokenizer_ms": ready * 1e3,
        "compile_ms": compiled * 1e3,
        "token_us": statistics.median(spent) * 1e6,
        "token_p99_us": statistics.quantiles(spent, n=100)[98] * 1e6,
        "tokens": len(ids),
        "vocabulary": len(tokenizer),
    }


def load_tokenizer(model: str | None, size: int) -> Any:
    """A folder's tokenizer, or a byte-level one of `size` tokens: all bytes, and words of two to four letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if model:
        return AutoTokenizer.from_pretrained(model)
    vocabulary = {"<|end|>": 0} | {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 1)}
    merges = []
    for length in (2, 3, 4):
        for letters in product(ascii_lowercase, repeat=length):
            if len(vocabulary) < size:
                word = "".join(letters)
                merges.append((word[:-1], word[-1]))
                vocabulary[word] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocabulary, merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=raw, eos_token="<|end|>")


def _llguidance(tokenizer: Any) -> Any:
    from llguidance import LLMatcher
    from llguidance.hf import from_tokenizer

    wrapped = from_tokenizer(tokenizer)

    def compile_schema(schema: str) -> Callable[[], Step]:
        first = LLMatcher(wrapped, LLMatcher.grammar_from_json_schema(schema))

        def start() -> Step:
            matcher = first.deep_copy()

            def step(token: int) -> None:
                matcher.compute_bitmask()
                if not matcher.consume_token(token):
                    raise RuntimeError("the answer was refused")

            return step

        return start

    return compile_schema


def _xgrammar(tokenizer: Any) -> Any:
    import xgrammar

    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer)))

    def compile_schema(schema: str) -> Callable[[], Step]:
        grammar = compiler.compile_json_schema(schema)

        def start() -> Step:
            matcher, mask = xgrammar.GrammarMatcher(grammar), xgrammar.allocate_token_bitmask(1, len(tokenizer))

            def step(token: int) -> None:
                matcher.fill_next_token_bitmask(mask)
                if not matcher.accept_token(token):
                    raise RuntimeError("the answer was refused")

            return step

        return start

    return compile_schema


def _outlines(tokenizer: Any) -> Any:
    from outlines_core import Guide, Index, Vocabulary
    from outlines_core.json_schema import build_regex_from_schema
    from outlines_core.kernels.torch import allocate_token_bitmask, fill_next_token_bitmask

    tokens: dict[bytes, list[int]] = {}
    for word, token in tokenizer.get_vocab().items():
        if token != tokenizer.eos_token_id:
            tokens.setdefault(tokenizer.convert_tokens_to_string([word]).encode(), []).append(token)
    vocabulary = Vocabulary(tokenizer.eos_token_id, tokens)

    def compile_schema(schema: str) -> Callable[[], Step]:
        index = Index(build_regex_from_schema(schema), vocabulary)

        def start() -> Step:
            guide, mask = Guide(index), allocate_token_bitmask(len(tokenizer))

            def step(token: int) -> None:
                fill_next_token_bitmask(guide, mask)
                guide.advance(token, return_tokens=False)

            return step

        return start

    return compile_schema


BUILDERS: dict[str, Callable[[Any], Any]] = {
    "llguidance": _llguidance,
    "xgrammar": _xgrammar,
    "outlines-core": _outlines,
}


def _child(name: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.benchmarks", "structure", "--peer", name]
    command += ["--vocabulary", str(given.vocabulary), *(["--model", given.model] if given.model else [])]
    command += ["--peers", given.peers] if given.peers else []
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"failed": last[:200]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _medians(results: list[dict[str, Any]]) -> dict[str, Any]:
    failed = [result for result in results if "failed" in result]
    return failed[0] if failed else {key: statistics.median(r[key] for r in results) for key in results[0]}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _size(name: str) -> float:
    """Megabytes of the installed files, with what only this library needs."""
    total = 0
    for part in (name, *PEERS[name][1]):
        if _version(part):
            files = importlib.metadata.files(part) or []
            total += sum(
                Path(str(file.locate())).stat().st_size for file in files if Path(str(file.locate())).is_file()
            )
    return total / 1e6


def _print(rows: dict[str, dict[str, Any]], missing: list[str]) -> None:
    names = ("import_ms", "size_mb", "tokenizer_ms", "compile_ms", "token_us", "token_p99_us")
    print("library".ljust(22) + "".join(name.rjust(14) for name in names))
    for name, row in rows.items():
        title = f"{name} {_version(name)}".ljust(22)
        print(title + (row["failed"] if "failed" in row else "".join(f"{row[key]:.1f}".rjust(14) for key in names)))
    for name in missing:
        print(f"{name.ljust(22)}not installed")
