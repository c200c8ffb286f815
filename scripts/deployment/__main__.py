"""Put Parley into your AWS account, or bring what is there up to date.

Everything is one CloudFormation stack, parley-STAGE. What would change is shown and made once you agree. A run that
dies or fails can be run again. With --package nothing is deployed: the folder gets the template (SAM) and every
artefact that it names, without touching AWS or the network.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.deployment.account import identify, open_session
from scripts.deployment.arguments import add_place, explain, say
from scripts.deployment.deploy import Deployer, Wishes, describe
from scripts.deployment.package import report, write_package
from scripts.deployment.stack import Plan

PROGRAM = "deploy"
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
SIGNS = {"Add": "+", "Modify": "~", "Remove": "-", "Import": "+", "Dynamic": "~"}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when the owner did not agree, or there is drift; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        if options.package is not None:
            print(report(write_package(options.package.absolute(), options.architecture, _say), options.json))
        else:
            outcome.status = _deploy(options)
    return outcome.status


def _deploy(options: argparse.Namespace) -> int:
    parameters = dict(options.set) | ({"InstanceType": options.instance_type} if options.instance_type else {})
    parameters |= options.warm or {}
    wishes = Wishes(options.stage, options.architecture, options.model, parameters)
    session = open_session(options.region, options.profile)
    deployer = Deployer(session, wishes, _say, lambda plan: _confirm(plan, options))
    if options.drift:
        identify(session)
        found = deployer.stack.drift()
        print(json.dumps(found) if options.json else "\n".join(found) or "no drift")
        return 1 if found else 0
    outputs = deployer.run()
    if outputs is None:
        return 0 if options.plan else 1
    print(json.dumps(outputs) if options.json else describe(outputs))
    return 0


def _confirm(plan: Plan, options: argparse.Namespace) -> bool:
    """Show the plan; whether to go on with it."""
    for change in plan.changes:
        made_anew = "  (made anew)" if change.replaced else ""
        print(f"  {SIGNS.get(change.action, '?')} {change.resource} ({change.type}){made_anew}", file=sys.stderr)
    if options.plan or options.yes:
        return not options.plan
    if not sys.stdin.isatty():
        _say("nobody is here to agree; run it with --yes")
        return False
    answer = input(f"{len(plan.changes)} changes to parley-{options.stage}. Make them? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_place(parser)
    add("--package", type=Path, metavar="DIR", help="write template and artefacts there, and deploy nothing")
    add("--model", metavar="MODEL",
        help="a folder, s3://BUCKET/PREFIX/, hub id, or registry:PLACE/NAME (default: the embedded one)")  # fmt: skip
    add("--instance-type", metavar="TYPE", help="what the model runs on (default: ml.g6.xlarge)")
    add("--set", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="a parameter of the template")
    add("--warm", type=_warm, metavar="DAYS,FROM-UNTIL", help="keep an instance, e.g. MON-FRI,9-18 (UTC); or never")
    add("--architecture", choices=["arm64", "x86_64"], default="arm64", help="of the functions (default: arm64)")
    add("--yes", action="store_true", help="agree to the plan beforehand")
    add("--plan", action="store_true", help="show what would change, and change nothing")
    add("--drift", action="store_true", help="show what was changed behind the stack's back; 1 if anything was")
    add("--json", action="store_true", help="print results as JSON")
    return parser


def _warm(text: str) -> dict[str, str]:
    """The two schedules of warm hours, in the fields of a cron expression."""
    if text == "never":
        return {"WarmFrom": "", "WarmUntil": ""}
    found = re.fullmatch(r"([A-Z]{3}(?:[-,][A-Z]{3})*),(\d{1,2})-(\d{1,2})", text.upper())
    if found is None or not int(found[2]) < int(found[3]) <= 23 or set(re.split("[-,]", found[1])) - set(DAYS):
        raise argparse.ArgumentTypeError(f"{text!r}: give days and hours, for instance MON-FRI,9-18, or never")
    return {"WarmFrom": f"0 {int(found[2])} ? * {found[1]} *", "WarmUntil": f"0 {int(found[3])} ? * {found[1]} *"}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (sign and re.fullmatch(r"[A-Za-z0-9]+", name)):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def _say(text: str) -> None:
    say(PROGRAM, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
