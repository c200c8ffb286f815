"""Delete everything that a user has written, and what else is kept of them.

That is conversations, what the model was sent and said of them, dead letters, counters and consent. What there is is
counted and shown, and goes once you agree; stopped at any point, it goes on when it is run again. Conversations in
which others wrote go whole. A record stays that it was done, when and by whom, under a hash of the user's name and
without a word. Backups, folders of scripts/collect and what the platform itself keeps are yours to delete.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from parley.aws.callers import list_keys
from scripts.deployment.arguments import USER_HELP, add_deployment, explain, say, user_name
from scripts.operations.forgetting import KINDS, Forgetting
from scripts.operations.forgotten import records
from scripts.operations.place import Place, open_place

PROGRAM = "forget"


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when you did not agree, or something may still arrive; 2 with one line of what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        by = str(place.client("sts").get_caller_identity()["Arn"])
        _tell_more(place, options.user)
        if options.dry_run or not options.yes:
            look = _work(place, options, remove=False)
            if not look.run(by) or options.dry_run:
                return _report(look, options)
            say(PROGRAM, f"{options.user}: {_counted(look)}")
            if not _agreed(options.user):
                return 1
        work = _work(place, options, remove=True)
        work.run(by)
        outcome.status = _report(work, options)
    return outcome.status


def _work(place: Place, options: argparse.Namespace, *, remove: bool) -> Forgetting:
    return Forgetting(place, options.user, remove=remove, tell=lambda text: say(PROGRAM, text), clock=time.time)


def _tell_more(place: Place, name: str) -> None:
    """What no count says."""
    client = place.client("dynamodb")
    for entry in records(client, place.table, name):
        say(PROGRAM, f"{name} was forgotten on {_when(entry['at'])} by {entry['by']}")
    caller = name.removeprefix("api:")
    keys = sum(key.caller == caller for key in list_keys(client, place.table)) if caller != name else 0
    if keys:
        say(PROGRAM, f"{keys} API keys go on letting {caller} in; end that with scripts/keys revoke")


def _agreed(name: str) -> bool:
    if not sys.stdin.isatty():
        say(PROGRAM, "nobody is here to agree; run it with --yes")
        return False
    return input(f"Type the user's name, {name}, to delete all that: ").strip() == name


def _report(work: Forgetting, options: argparse.Namespace) -> int:
    """Says what there was; the exit status."""
    until = 0.0 if options.dry_run else work.until
    if options.json:
        print(json.dumps({"user": options.user, "removed": not options.dry_run, **work.counts, "until": until or None}))
    else:
        gone = any(work.counts.values()) and not options.dry_run
        print(f"{options.user}: {_counted(work)}{': gone' if gone else ''}")
    if until:
        say(PROGRAM, f"something of it may still turn up; run this again after {_when(until)}")
    return 1 if until else 0


def _counted(work: Forgetting) -> str:
    told = [f"{work.counts[kind]:,} {kind.replace('_', ' ')}" for kind in KINDS if work.counts[kind]]
    return ", ".join(told) or "nothing is kept"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/forget", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("user", type=user_name, help=USER_HELP)
    parser.add_argument("--dry-run", action="store_true", help="only count what would go")
    parser.add_argument("--yes", action="store_true", help="agree beforehand")
    add_deployment(parser)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
