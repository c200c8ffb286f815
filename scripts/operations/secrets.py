"""Set, list and rotate a deployment's credentials: SecureStrings in SSM Parameter Store, under /parley-STAGE/.

Values never stand on a command line: they are asked for, or read as a JSON object from standard input. A running
deployment takes a change within five minutes.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.deployment.arguments import add_deployment, explain, say
from scripts.deployment.failures import DeploymentFailed
from scripts.operations.place import Place, open_place

PROGRAM = "secrets"
NAME = re.compile(r"signing-key|bots/[a-z0-9][a-z0-9-]{0,31}/[a-z0-9][a-z0-9-]{0,31}")

FIELDS: Mapping[str, tuple[str, ...]] = {
    "slack": ("signing_secret", "bot_token"),
    "telegram": ("bot_token", "secret_token"),
}
"""What is asked for, by channel; others take a JSON object."""


class BadSecret(DeploymentFailed):
    """What was given is no secret that Parley could read."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        {"set": _set, "list": _list, "rotate": _rotate}[options.command](place, options)
    return outcome.status


def _set(place: Place, options: argparse.Namespace) -> None:
    fields = _ask(options.name) if sys.stdin.isatty() else read(sys.stdin.read())
    if options.name == "signing-key":
        raise BadSecret("the signing key is made, not chosen: scripts/secrets rotate signing-key")
    _write(place, options.name, fields)
    _tell(options, {"set": options.name, "fields": sorted(fields)}, f"{options.name} is set")


def _rotate(place: Place, options: argparse.Namespace) -> None:
    """The signing key anew; a channel's credentials are made by the platform, so that they are set."""
    if options.name != "signing-key":
        raise BadSecret(f"{options.name} is made by its platform: make a new one there, then scripts/secrets set it")
    say(PROGRAM, "visitors' cookies and response ids that were given out until now stop working")
    _write(place, options.name, {"key": secrets.token_hex(32)})
    _tell(options, {"rotated": options.name}, f"{options.name} is new")


def _list(place: Place, options: argparse.Namespace) -> None:
    filters = [{"Key": "Path", "Option": "Recursive", "Values": [place.secrets_path]}]
    pages = place.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=filters)
    entries = [
        {
            "name": entry["Name"].removeprefix(f"{place.secrets_path}/"),
            "secret": entry["Type"] == "SecureString",
            "changed": entry["LastModifiedDate"].isoformat(timespec="minutes"),
            "version": entry["Version"],
        }
        for page in pages
        for entry in page["Parameters"]
    ]
    entries.sort(key=lambda entry: str(entry["name"]))
    lines = [f"{e['name']:<32} version {e['version']:<4} {e['changed']}" for e in entries]
    _tell(options, entries, "\n".join(lines) or "nothing is set; scripts/secrets set --help says how")


def _write(place: Place, name: str, fields: Mapping[str, str]) -> None:
    place.client("ssm").put_parameter(
        Name=f"{place.secrets_path}/{name}", Value=json.dumps(dict(fields)), Type="SecureString", Overwrite=True
    )


def _ask(name: str) -> dict[str, str]:
    """The fields of a channel's secret, from whoever sits there, unseen."""
    wanted = FIELDS.get(name.rpartition("/")[2])
    if wanted is None:
        raise BadSecret(f"{name}: give its fields as a JSON object on standard input")
    return _checked({field: getpass.getpass(f"{field}: ") for field in wanted})


def read(text: str) -> dict[str, str]:
    """The fields of a secret, from JSON. Raises BadSecret."""
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSecret(f"standard input is no JSON ({error}); give an object of fields") from None
    if not isinstance(fields, dict):
        raise BadSecret("standard input is no JSON object; give one of fields")
    return _checked(fields)


def _checked(fields: dict[str, Any]) -> dict[str, str]:
    if not fields or not all(isinstance(value, str) and value.strip() for value in fields.values()):
        raise BadSecret("every field needs a text that is not empty")
    return {name: value.strip() for name, value in fields.items()}


def _tell(options: argparse.Namespace, result: Any, text: str) -> None:
    print(json.dumps(result) if options.json else text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/secrets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (("set", "give a secret its fields"), ("rotate", "make the signing key anew")):
        added = commands.add_parser(command, help=text)
        added.add_argument("name", type=_name, help="signing-key, or bots/BOT/CHANNEL, for instance bots/default/slack")
    commands.add_parser("list", help="the names of what is set, and when it was; never the values")
    for added in commands.choices.values():
        add_deployment(added)
        added.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a secret is signing-key or bots/BOT/CHANNEL")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
