"""Write Parley's stack as CloudFormation, with every artefact that it names, into a folder.

Touches neither AWS nor the network. The folder is what `aws cloudformation package` and `deploy` take.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.deployment.layers import MissingPackage
from scripts.deployment.package import TooLarge, report, write_package
from scripts.deployment.template import PackagingFailed

STAGE = re.compile(r"[a-z][a-z0-9-]{0,15}")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or 2 with one line that says what to do."""
    parser = argparse.ArgumentParser(prog="scripts/deploy", description=__doc__)
    parser.add_argument("--stage", type=_stage, default="prod", help="names the stack: parley-STAGE (default: prod)")
    parser.add_argument("--package", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], default="arm64", help="of the functions")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    options = parser.parse_args(arguments)
    try:
        package = write_package(options.package.absolute(), options.architecture, _say)
    except (PackagingFailed, MissingPackage, TooLarge, OSError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report(package, options.json))
    return 0


def _stage(text: str) -> str:
    if not STAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a stage is at most 16 lower-case letters, digits and hyphens, and begins with a letter"
        )
    return text


def _say(text: str) -> None:
    print(f"deploy: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
