"""Collect what a model can learn from into a folder, for scripts/prepare.

SOURCE is a file, a folder or an s3:// prefix: text, Markdown, HTML, CSV or TSV, JSON and JSON Lines (OpenAI messages,
ShareGPT, ChatGPT's export, questions with answers, preferences). --conversations adds the deployment's own, of users
whose consent scripts/consent has on record, with personal data masked. A run that was stopped goes on when it is
run again; what cannot be read is set aside with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.deployment.account import open_session
from scripts.deployment.arguments import add_deployment
from scripts.deployment.failures import DeploymentFailed
from scripts.operations.place import open_place
from scripts.training.conversations import find_conversations
from training.collect.collecting import Terms, collect
from training.collect.entries import Source
from training.collect.files import KINDS, find
from training.command import Progress, conclude
from training.errors import StepFailed

PROGRAM = "collect"
PARTS = ("user", "assistant", "system", "text", "conversation")
OWN_LICENCE = "users' own, by consent"


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)

    def work() -> int:
        try:
            return _collect(options)
        except DeploymentFailed as error:
            raise StepFailed(str(error)) from None

    return conclude(PROGRAM, work)


def _collect(options: argparse.Namespace) -> int:
    progress = Progress(PROGRAM)
    if options.source and not options.licence:
        raise StepFailed("say under which licence the sources are, with --licence (for instance: apache-2.0, or own)")
    if not options.source and not options.conversations:
        raise StepFailed("nothing to collect: name files, folders or s3:// prefixes, or give --conversations")
    terms = Terms(options.licence or "", options.consent, options.mask)

    def s3() -> Any:
        return open_session(options.region, options.profile).client("s3")

    files, unknown = find(options.source, options.format, options.columns, s3)
    sources: list[tuple[Source, Terms]] = [(source, terms) for source in files]
    left_out: dict[str, int] = {"unknown_kind": unknown} if unknown else {}
    if options.conversations:
        own, withheld = find_conversations(open_place(options))
        sources += [(source, Terms(options.licence or OWN_LICENCE, None, masked=True)) for source in own]
        left_out |= withheld
        if not sources:
            raise StepFailed(
                f"no conversation has its user's consent ({withheld.get('no_consent', 0)} have none); "
                "record it with scripts/consent give"
            )
    counts = collect(sources, options.out, left_out, progress)
    print(json.dumps(counts, ensure_ascii=False) if options.json else _table(counts, options.out))
    return 0


def _table(counts: Mapping[str, Any], out: Path) -> str:
    lines = [f"{counts['records']:>9,}  records in {out}"]
    for name, title in (("set_aside", "set aside"), ("not_collected", "not collected"), ("masked", "masked")):
        lines += [f"{count:>9,}  {title}: {reason}" for reason, count in sorted(counts[name].items())]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/collect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", nargs="*", metavar="SOURCE", help="a file, a folder, or s3://BUCKET/PREFIX")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to make; one that is there is made anew")
    add("--licence", metavar="NAME", help="of what is in the sources: an SPDX identifier, or your words")
    add("--consent", metavar="TEXT", help="where people's words are in the sources: how they agreed")
    add("--format", choices=sorted(set(KINDS.values())), help="what the files are (default: by their suffix)")
    add("--columns", type=_columns, default={}, metavar="PART=NAME,...",
        help=f"which columns or keys to read as {', '.join(PARTS)} (default: by their usual names)")  # fmt: skip
    add("--mask", action="store_true", help="mask personal data in the sources too")
    add("--conversations", action="store_true", help="add the deployment's own, with consent and masked")
    add("--json", action="store_true", help="print the counts as JSON")
    add_deployment(parser)
    return parser


def _columns(text: str) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in text.split(",")]
    columns = {part.strip(): name.strip() for part, _, name in pairs}
    complete = "text" in columns or {"user", "assistant"} <= columns.keys()
    if not complete or not columns.keys() <= set(PARTS) or not all(columns.values()):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give user=NAME,assistant=NAME or text=NAME; parts are {', '.join(PARTS)}"
        )
    return columns


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
