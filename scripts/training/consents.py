"""Record, list and withdraw users' consent to learn from their conversations.

Without a record nobody's conversations are collected. A record says who was asked, when, by whom and how; it is one
item of the table, USER#{user} / CONSENT. Withdrawing deletes it: the next scripts/collect leaves that user's
conversations out, and a folder or a model that was made before has to be made anew without them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from parley.aws.index import indexed
from parley.aws.items import user_partition
from scripts.deployment.arguments import USER_HELP, add_deployment, explain, say, user_name
from scripts.operations.place import open_place

PROGRAM = "consent"
LISTED = "CONSENTS"
"""The `user` of every consent's item in the index: no channel's users are called so, theirs begin with the channel."""


@dataclass(frozen=True)
class Consent:
    """One user's consent: `given` in epoch seconds, recorded `by` somebody, `note` how it was given."""

    user: str
    given: float
    by: str
    note: str

    def stated(self) -> dict[str, str]:
        """What goes along with each record."""
        given = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.given))
        return {"given": given, "by": self.by, "note": self.note}


def give(client: Any, table: str, consent: Consent) -> None:
    """Record it, in place of an earlier one."""
    texts = {"by": consent.by, "note": consent.note, "user": LISTED}
    numbers = {"given": consent.given, "updated": consent.given}
    item = {name: {"S": value} for name, value in texts.items()} | {n: {"N": repr(v)} for n, v in numbers.items()}
    client.put_item(TableName=table, Item=_key(consent.user) | item)


def withdraw(client: Any, table: str, user: str) -> bool:
    """Delete it; False when there was none."""
    answer = client.delete_item(TableName=table, Key=_key(user), ReturnValues="ALL_OLD")
    return bool(answer.get("Attributes"))


def all_consents(client: Any, table: str) -> Iterator[Consent]:
    """Every consent on record. The index finds them; each is then read as it is now, so that one withdrawn a moment
    ago is not among them."""
    for user in [pk.removeprefix("USER#") for pk in indexed(client, table, LISTED)]:
        item = client.get_item(TableName=table, Key=_key(user), ConsistentRead=True).get("Item")
        if item is not None:
            yield Consent(user, float(item["given"]["N"]), item["by"]["S"], item["note"]["S"])


def _key(user: str) -> dict[str, Any]:
    return {"pk": {"S": user_partition(user)}, "sk": {"S": "CONSENT"}}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when there was nothing to withdraw; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        client = place.client("dynamodb")
        if options.command == "give":
            give(client, place.table, Consent(options.user, time.time(), options.by, options.note))
            say(PROGRAM, f"{options.user}: recorded")
        elif options.command == "withdraw":
            outcome.status = 0 if withdraw(client, place.table, options.user) else 1
            say(PROGRAM, f"{options.user}: {'there was no consent' if outcome.status else 'withdrawn'}")
        else:
            found = [{"user": consent.user, **consent.stated()} for consent in all_consents(client, place.table)]
            lines = [f"{entry['user']:<40} {entry['given']}  {entry['by']:<16} {entry['note']}" for entry in found]
            print(json.dumps(found) if options.json else "\n".join(lines) or "there are none")
    return outcome.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/consent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    giving = commands.add_parser("give", help="record a user's consent")
    giving.add_argument("--by", required=True, metavar="NAME", help="who recorded it")
    giving.add_argument("--note", required=True, metavar="TEXT", help="how it was given: a form, a message, a date")
    withdrawing = commands.add_parser("withdraw", help="delete it; 1 when there was none")
    for command in (giving, withdrawing):
        command.add_argument("user", type=user_name, help=USER_HELP)
    listing = commands.add_parser("list", help="all consents")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    for command in (giving, withdrawing, listing):
        add_deployment(command)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
