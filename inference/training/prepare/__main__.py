"""Prepare collected folders for training: clean, remove repeats and what overlaps with held-out sets, split, pack.

FOLDER is what scripts/collect made. The folder that comes out has the splits as JSON Lines, token arrays if a
tokenizer is given, and report.html, which shows what went in, what left and why. A run that was stopped goes on when
it is run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.command import Progress, conclude
from training.prepare.cleaning import Filters
from training.prepare.preparing import Settings, prepare

PROGRAM = "prepare"


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    filters = Filters(options.languages, options.shortest_answer, options.shortest_text, options.longest)
    settings = Settings(
        filters, options.near, tuple(options.held_out), options.overlap, options.validation, options.test,
        options.seed, options.tokenizer, options.chat_template, options.context,
    )  # fmt: skip

    def work() -> int:
        made = prepare(options.folder, options.out, settings, Progress(PROGRAM))
        print(json.dumps(made, ensure_ascii=False) if options.json else _table(made, options.out))
        return 0

    return conclude(PROGRAM, work)


def _table(made: Mapping[str, Any], out: Path) -> str:
    lines = [f"{made['counts']['collected']:>9,}  records collected"]
    lines += [
        f"{n:>9,}  left: {reason}" for reason, n in sorted(made["counts"]["removed"].items(), key=lambda e: -e[1])
    ]
    for name, size in made["splits"].items():
        tokens = f", {size['tokens']:,} tokens in {size['rows']:,} rows" if "tokens" in size else ""
        lines.append(f"{size.get('records', 0):>9,}  {name}{tokens}")
    return "\n".join([*lines, f"{out / 'report.html'} shows more"])


def _parser() -> argparse.ArgumentParser:
    usual, filters = Settings(), Filters()
    parser = argparse.ArgumentParser(
        prog="scripts/prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", nargs="+", type=Path, metavar="FOLDER", help="what scripts/collect made")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to make; one that is there is made anew")
    add("--tokenizer", metavar="MODEL", help="a model's folder or hub id; without it nothing is tokenised")
    add("--chat-template", type=_file, metavar="FILE", help="in place of the tokenizer's own")
    add("--context", type=_count, help="tokens of a row (default: the model's, at most 2048)")
    add(
        "--held-out",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="evaluation sets, which must not be learned",
    )
    add("--overlap", type=_count, default=usual.overlap, help="words in a row that count as overlap (default: 13)")
    add("--near", type=_share, default=usual.near, metavar="SHARE",
        help="similarity from which a record is a repeat; 1 removes equal ones only (default: 0.85)")  # fmt: skip
    add(
        "--languages",
        type=lambda text: text.split(","),
        default=[],
        metavar="LIST",
        help="keep these: en,zh (default: all)",
    )
    add("--shortest-answer", type=_count, default=filters.shortest_answer, metavar="N", help="characters (default: 2)")
    add("--shortest-text", type=_count, default=filters.shortest_text, metavar="N", help="characters (default: 40)")
    add("--longest", type=_count, default=filters.longest, metavar="N", help="characters (default: 400000)")
    add("--validation", type=_part, default=usual.validation, metavar="SHARE", help="of conversations (default: 0.05)")
    add("--test", type=_part, default=usual.test, metavar="SHARE", help="of conversations (default: 0.05)")
    add("--seed", type=int, default=usual.seed, help="of the splits and the rows' order (default: 1)")
    add("--json", action="store_true", help="print the counts as JSON")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1")
    return int(text)


def _share(text: str) -> float:
    return _number(text, 0.3, 1.0)


def _part(text: str) -> float:
    return _number(text, 0.0, 0.5)


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from {least:g} to {most:g}")
    return value


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
