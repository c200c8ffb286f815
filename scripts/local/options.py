"""What ``scripts/run`` takes on its command line. Standard library only: help needs no installation."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Options:
    """The parsed command line: port on 127.0.0.1 (0: a free one), model folder or hub id, data folder."""

    port: int
    model: str | None
    data: Path


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to 65535")
    return int(text)


def read_options(arguments: list[str] | None = None) -> Options:
    """Return the options; prints help or an error and exits as argparse does (0 or 2)."""
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Set up and run the whole of Parley on this machine. "
        "Prints one line, 'ready http://127.0.0.1:PORT', when it takes messages; Ctrl-C ends it.",
        epilog="Environment: PARLEY_API_KEY (default local-dev-key) lets HTTP clients in; "
        "SLACK_SIGNING_SECRET, SLACK_BOT_TOKEN, SLACK_API_URL, "
        "TELEGRAM_BOT_TOKEN, TELEGRAM_SECRET_TOKEN, TELEGRAM_API_URL switch channels on; "
        "AWS_ENDPOINT_URL names a cloud to use in place of the emulator; "
        "PARLEY_PYTHON names the Python to use.",
    )
    parser.add_argument("--port", type=_port, default=8000, help="port on 127.0.0.1, 0 for a free one (default: 8000)")
    parser.add_argument(
        "--model",
        metavar="DIR_OR_ID",
        help="model folder, hub id, or registry:DIR/NAME for what is promoted there (default: the embedded model)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=ROOT / ".parley",
        help="folder that keeps conversations and logs (default: .parley in the repository)",
    )
    parsed = parser.parse_args(arguments)
    return Options(parsed.port, _model(parser, parsed.model), parsed.data.absolute())


def _model(parser: argparse.ArgumentParser, given: str | None) -> str | None:
    """A relative folder means the caller's, wherever the processes run; a hub id stays as it is."""
    if given is None or not given.startswith("registry:"):
        return str(Path(given).absolute()) if given and Path(given).exists() else given
    # the layout of a registry is in inference/training/README.md
    registry = Path(given.removeprefix("registry:")).expanduser().absolute()
    try:
        version = json.loads((registry / "in_use.json").read_bytes())["version"]
    except (OSError, ValueError, LookupError):
        parser.error(f"{registry} has no model in use; promote one with scripts/models promote")
    return str(registry / "versions" / version / "model")


if __name__ == "__main__":
    read_options()
