"""Choose a base model, and ship what became of it.

Without a command: the table of base models, with what they need and cost, computed from their configurations. With
one: versions of your own models. `promote` takes a model and its evaluation into a registry and puts it in use, unless
a metric fell past its threshold; `rollback` puts the version before in use again. scripts/deploy and scripts/run take
`--model registry:PLACE/NAME`.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.deployment.account import open_session
from scripts.deployment.arguments import stage
from scripts.deployment.failures import DeploymentFailed
from scripts.deployment.registry import check_stage, take
from scripts.operations.cost import load_prices
from training.choose.candidates import load_candidates
from training.choose.memory import SERVE, TRAIN, load_instances
from training.choose.table import draw, read_scores, rows
from training.command import Progress, conclude
from training.errors import StepFailed
from training.registry.description import Wish
from training.registry.gate import THRESHOLDS, load_thresholds
from training.registry.places import open_registry
from training.registry.versions import Registry, earlier

PROGRAM = "models"
REGISTRY = "registry"
MOST_METRICS = 4


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when a promotion was refused; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)

    def work() -> int:
        try:
            return int(options.work(options))
        except DeploymentFailed as error:
            raise StepFailed(str(error)) from None

    return conclude(PROGRAM, work)


def _table(options: argparse.Namespace) -> int:
    prices = load_prices()["instances_per_hour"]
    scores = read_scores(options.scores)
    versions = _registry(options).versions() if options.registry else []
    found = rows(load_candidates(), load_instances(), prices, scores, versions)
    if options.fit:
        able = (row for row in found if options.method in row["fits"][options.fit])
        found = [row | {"price": prices.get(options.fit)} for row in able]
    if options.json:
        print(json.dumps(found))
        return 0
    scored = [entry["scores"] for row in found for entry in (row, *row["versions"])]
    metrics = options.metric or sorted({name for entry in scored for name in entry})[:MOST_METRICS]
    print(draw(found, metrics, options.fit))
    print("memory in GiB; * asks for consent to its licence; scripts/models --help says how it is computed")
    return 0


def _promote(options: argparse.Namespace) -> int:
    registry = _registry(options)
    _check_stage(options)
    wish = Wish(options.model, options.evaluation, options.baseline, options.data, options.licence, options.by)
    number = registry.promote(wish, load_thresholds(options.thresholds), Progress(PROGRAM).say)
    return _in_use(registry, number, options)


def _roll_back(options: argparse.Namespace) -> int:
    registry = _registry(options)
    _check_stage(options)
    return _in_use(registry, registry.roll_back(options.by, options.to), options)


def _check_stage(options: argparse.Namespace) -> None:
    """An endpoint that cannot be changed is told before the registry is."""
    if options.deploy:
        check_stage(open_session(options.region, options.profile), options.deploy, Progress(PROGRAM).say)


def _in_use(registry: Registry, number: str, options: argparse.Namespace) -> int:
    place = f"registry:{options.registry.rstrip('/')}/{options.name}"
    told = {"version": number, "model": registry.model_address(number), "take": place}
    if options.deploy:
        session = open_session(options.region, options.profile)
        told["endpoint"] = take(session, options.deploy, place, Progress(PROGRAM).say)
    if options.json:
        print(json.dumps(told))
        return 0
    print(f"version {number} of {options.name} is in use: {told['model']}")
    if options.deploy:
        print(f"the endpoint of {options.deploy} has it")
    else:
        print(f"an endpoint takes it with --deploy STAGE, or: scripts/deploy --model {place}")
    return 0


def _list(options: argparse.Namespace) -> int:
    registry = _registry(options)
    current, _ = registry.in_use()
    used = current["version"] if current else None
    found = [
        {"version": v["version"], "in_use": v["version"] == used, "created": v["created"], "by": v["by"],
         "base_model": v["training"].get("base_model"), "licence": v["licence"],
         "metrics": {name: entry["value"] for name, entry in v["metrics"].items()}}
        for v in registry.versions()
    ]  # fmt: skip
    if options.json:
        print(json.dumps(found))
        return 0
    for entry in found:
        metrics = "  ".join(f"{n} {v:.3f}" for n, v in sorted(entry["metrics"].items())[:MOST_METRICS])
        mark = "*" if entry["in_use"] else " "
        print(f"{mark} {entry['version']}  {entry['created']}  {entry['by']:<12}  {metrics}")
    if not found:
        print(f"there are no versions of {options.name} in {options.registry}")
    return 0


def _history(options: argparse.Namespace) -> int:
    current, _ = _registry(options).in_use()
    history: list[dict[str, Any]] = current["history"] if current else []
    if options.json:
        print(json.dumps(history))
        return 0
    for entry in history:
        print(f"{entry['at']}  {entry['action']:<9} {entry['version']}  {entry['by']}")
    before = earlier(history)
    print(f"rollback would put {before[-1]} in use" if before else "there is nothing to roll back to")
    return 0


def _registry(options: argparse.Namespace) -> Registry:
    def s3() -> Any:
        return open_session(options.region, options.profile).client("s3")

    return Registry(open_registry(options.registry, s3), options.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Memory: to serve, weights, 32,768 tokens of keys and values, and 1 GiB; to train, weights, gradients, "
        "AdamW and the activations of 2,048 tokens with gradient checkpointing (inference/training/choose/memory.py).",
    )  # fmt: skip
    parser.set_defaults(work=_table)
    instances = list(load_instances())
    add = parser.add_argument
    add("--fit", choices=instances, metavar="TYPE", help=f"only what has room on: {', '.join(instances)}")
    ways = f"to serve in {', '.join(SERVE)}; to train by {', '.join(TRAIN)}"
    add("--method", choices=[*SERVE, *TRAIN], default="bfloat16", metavar="WAY", help=f"{ways} (default: bfloat16)")
    add("--scores", type=Path, nargs="+", default=[], metavar="DIR", help="evaluation folders, to show beside")
    add("--metric", action="append", metavar="NAME", help=f"a metric to show (default: the first {MOST_METRICS})")
    add("--json", action="store_true", help="print everything as JSON")
    _place_options(
        parser, None, "versions to show with the model that they were made from: a folder, or s3://BUCKET/PREFIX"
    )
    commands = parser.add_subparsers(title="commands", metavar="")
    _versions_parser(commands)
    return parser


def _versions_parser(commands: Any) -> None:
    promote = commands.add_parser("promote", help="take a model into the registry and put it in use; 1 when refused")
    add = promote.add_argument
    add("model", type=Path, metavar="MODEL", help="what scripts/train made")
    add("--evaluation", type=Path, required=True, metavar="DIR", help="what scripts/evaluate made of it")
    add("--thresholds", type=Path, default=THRESHOLDS, metavar="FILE", help="how far each metric may fall")
    add("--baseline", type=Path, metavar="DIR", help="an evaluation of the version in use, where the sets have changed")
    add("--data", type=Path, metavar="DIR", help="the prepared folder, where it was moved")
    add("--licence", metavar="NAME", help="of the model (default: what training.json says)")
    rollback = commands.add_parser("rollback", help="put the version before in use again")
    rollback.add_argument("--to", metavar="VERSION", help="put this one in use")
    listing = commands.add_parser("list", help="all versions; * is in use")
    history = commands.add_parser("history", help="what was in use when, and who changed it")
    works = ((promote, _promote), (rollback, _roll_back), (listing, _list), (history, _history))
    for command, work in works:
        command.set_defaults(work=work)
        _place_options(command, REGISTRY, "a folder, or s3://BUCKET/PREFIX (default: registry)")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    for command in (promote, rollback):
        command.add_argument("--deploy", type=stage, metavar="STAGE", help="let this stack's endpoint have it, too")
        command.add_argument("--by", default=_user(), help="who does it (default: your user name)")


def _place_options(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    parser.add_argument("--name", default="parley", help="the model's in the registry (default: parley)")
    parser.add_argument("--registry", default=default, metavar="PLACE", help=what)
    parser.add_argument("--region", help="of the bucket (default: your configuration's)")
    parser.add_argument("--profile", help="whose credentials (default: your configuration's)")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for its user
        return "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
