"""What ``scripts/run`` takes on its command line. Standard library only: help needs no installation."""

from __future__ import annotations

import argparse
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
    parser.add_argument("--model", metavar="DIR_OR_ID", help="model folder or hub id (default: the embedded model)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=ROOT / ".parley",
        help="folder that keeps conversations and logs (default: .parley in the repository)",
    )
    parsed = parser.parse_args(arguments)
    # a relative folder means the caller's, wherever the processes run; a hub id stays as it is
    model = str(Path(parsed.model).absolute()) if parsed.model and Path(parsed.model).exists() else parsed.model
    return Options(parsed.port, model, parsed.data.absolute())


if __name__ == "__main__":
    read_options()
