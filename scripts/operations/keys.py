"""Make, list and revoke keys of the HTTP API.

A key is shown once, when it is made; the table keeps its SHA-256 alone. Each belongs to a caller, whose conversations
it can read: keys of the same caller see the same ones.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import time
from collections.abc import Sequence

from parley.aws.callers import key_hash, key_item, list_keys, remove_key
from scripts.deployment.arguments import add_deployment, explain, say
from scripts.operations.place import Place, open_place

PROGRAM = "keys"
CALLER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SHOWN = 12
"""How many hex digits of a key's hash stand for it in lists: enough to be told apart, of no use to anybody else."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when there was no such key; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        outcome.status = {"create": _create, "list": _list, "revoke": _revoke}[options.command](place, options)
    return outcome.status


def _create(place: Place, options: argparse.Namespace) -> int:
    key = f"parley_{secrets.token_urlsafe(32)}"
    item = key_item(key, options.caller, options.name or "", time.time())
    place.client("dynamodb").put_item(TableName=place.table, Item=item)
    made = {"key": key, "id": key_hash(key)[:SHOWN], "caller": options.caller}
    if options.json:
        print(json.dumps(made))
    else:
        say(PROGRAM, f"key {made['id']} of {options.caller}; this is the only time that it is shown:")
        print(key)
    return 0


def _list(place: Place, options: argparse.Namespace) -> int:
    found = list_keys(place.client("dynamodb"), place.table)
    entries = [
        {"id": key.hash[:SHOWN], "caller": key.caller, "name": key.name, "created": key.created} for key in found
    ]
    if options.json:
        print(json.dumps(entries))
        return 0
    for entry in entries:
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(float(str(entry["created"]))))
        print(f"{entry['id']}  {entry['caller']:<24} {made}  {entry['name']}")
    if not entries:
        say(PROGRAM, "there are no keys; make one with scripts/keys create --caller NAME")
    return 0


def _revoke(place: Place, options: argparse.Namespace) -> int:
    client = place.client("dynamodb")
    found = [key for key in list_keys(client, place.table) if key.hash.startswith(options.id)]
    if len(found) != 1:
        say(PROGRAM, f"{len(found) or 'no'} keys begin with {options.id}; scripts/keys list shows them")
        return 1
    remove_key(client, place.table, found[0].hash)
    print(json.dumps({"revoked": found[0].hash[:SHOWN]}) if options.json else f"revoked {found[0].hash[:SHOWN]}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key, and show it once")
    create.add_argument("--caller", type=_caller, required=True, help="whose it is")
    create.add_argument("--name", help="what it is for, as a reminder in lists")
    revoke = commands.add_parser("revoke", help="let a key in no more")
    revoke.add_argument("id", type=_id, help="how the key's id begins, as in the list")
    for command in (create, commands.add_parser("list", help="all keys, without the keys themselves"), revoke):
        add_deployment(command)
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _caller(text: str) -> str:
    if not CALLER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a caller is at most 64 letters, digits, hyphens and underscores")
    return text


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{6,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: give at least six hex digits of the key's id")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
