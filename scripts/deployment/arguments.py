"""What the owner's commands share: where they work, and how they speak of what went wrong. Standard library only."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.deployment.failures import DeploymentFailed

STAGE = re.compile(r"[a-z][a-z0-9-]{0,15}")
USER = re.compile(r"[a-z][a-z0-9_-]{0,31}:\S{1,200}")
USER_HELP = "as logs and scripts/usage --by user name them, CHANNEL:ID"


@dataclass
class Outcome:
    """How a command ends: 0, or 2 after an error that was told."""

    status: int = 0


@contextmanager
def explain(program: str) -> Iterator[Outcome]:
    """Run a command's work; what goes wrong becomes one line on standard error and the status."""
    outcome = Outcome()
    try:
        yield outcome
    except (DeploymentFailed, OSError) as error:
        outcome.status = 2
        say(program, str(error))
    except KeyboardInterrupt:
        outcome.status = 130
        say(program, "stopped; run it again to go on")
    except Exception as error:
        if not _is_aws(error):
            raise
        outcome.status = 2
        say(program, f"AWS refused: {' '.join(str(error).split())[:300]}")


def _is_aws(error: Exception) -> bool:
    """Whether botocore raised it; asked by name, so that help needs no botocore."""
    return any(kind.__module__.startswith("botocore.") for kind in type(error).__mro__)


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """The options that say which deployment is meant, scripts/run being one of them."""
    add_place(parser)
    parser.add_argument("--data", type=Path, metavar="DIR", help="of scripts/run, for --stage local (default: .parley)")


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say which stack is meant."""
    parser.add_argument("--stage", type=stage, default="prod", help="names the stack: parley-STAGE (default: prod)")
    parser.add_argument("--region", help="where it is (default: your configuration's)")
    parser.add_argument("--profile", help="whose credentials (default: your configuration's)")


def stage(text: str) -> str:
    """A stage's name, checked as argparse's types are."""
    if not STAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a stage is at most 16 lower-case letters, digits and hyphens, and begins with a letter"
        )
    return text


def user_name(text: str) -> str:
    """A user's name, checked as argparse's types are."""
    if not USER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a user is CHANNEL:ID, for instance slack:T024BE7LD:U2147483697")
    return text


def say(program: str, text: str) -> None:
    """Progress and errors, for whoever waits."""
    print(f"{program}: {text}", file=sys.stderr, flush=True)
