"""Who may import whom: the table of rooms, executed. Imports inside functions and under TYPE_CHECKING count."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDARD = set(sys.stdlib_module_names)
AWS = {"boto3", "botocore", "aws_lambda_powertools"}

ROOMS: dict[str, set[str]] = {
    # room: what it may import beside the standard library and itself
    "layers/parley/domain": {"parley.errors"},
    "layers/parley/errors.py": {"parley.domain"},
    "layers/parley/settings.py": {"parley.errors"},
    "layers/parley/ports.py": {"parley.domain", "parley.errors"},
    "layers/parley/envelopes.py": {"parley.domain", "parley.errors"},
    "layers/parley/stages": {"parley.domain", "parley.ports", "parley.envelopes", "parley.errors"},
    "layers/parley/aws": {"parley.domain", "parley.ports", "parley.envelopes", "parley.errors", *AWS},
    "layers/parley/backends": {"parley.domain", "parley.ports", "parley.envelopes", "parley.errors", *AWS},
    "layers/parley/channels": {"parley.domain", "parley.ports", "parley.envelopes", "parley.errors", "urllib3"},
    "layers/parley/openai_api": {"parley.domain", "parley.errors"},
    "chalice-app/app.py": {"chalicelib", "chalice"},
    "chalice-app/chalicelib": {"parley", "chalice", "aws_lambda_powertools"},
    "scripts/local": {"app", "chalicelib", "parley", "chalice", "moto", "werkzeug", "scripts.local", *AWS},
    "inference": {
        "torch", "transformers", "tokenizers", "safetensors", "starlette", "uvicorn", "jinja2", "numpy",
        "huggingface_hub", "llguidance", "PIL", "boto3", "botocore", "torchao",
        # training alone
        "bs4", "datasets", "markdownify", "peft", "phonenumbers", "py3langid", "rensa", "sagemaker", "stdnum", "trl",
    },
}  # fmt: skip


def files(room: str) -> Iterator[Path]:
    path = ROOT / room
    yield from [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: set[str]) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def own_names(room: str) -> set[str]:
    """The names under which a room's own modules are imported."""
    path = ROOT / room
    if room == "inference":
        return {"inference", *(entry.stem for entry in path.iterdir())}
    if path.suffix == ".py":
        return set()
    top = "layers/" if room.startswith("layers/") else "chalice-app/"
    return {room.removeprefix(top).replace("/", ".")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_door_lets_in(room: str) -> None:
    allowed = ROOMS[room] | own_names(room)
    found = list(files(room))
    assert found, f"{room} is gone: mend this table"
    strays = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in found
        for name in imports(path)
        if name.split(".")[0] not in STANDARD and not within(name, allowed)
    }
    assert not strays


def test_nothing_imports_inference() -> None:
    for folder in ("layers", "chalice-app", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(within(name, {"inference"}) for name in imports(path)), path


CONNECTS = {"socket", "http.client", "urllib.request", "urllib3", "ssl", "ftplib", "smtplib"}
"""What can open a connection to an address, beside boto3, whose addresses are AWS's."""


@pytest.mark.parametrize(
    ("folder", "doors"),
    [
        ("layers", {"channels/http.py"}),
        ("chalice-app", set()),
        # the evaluation's two ask the server that its owner names on the command line
        ("inference", {"inference/addresses.py", "evaluation/client.py", "evaluation/server.py"}),
    ],
)
def test_an_address_is_reached_through_one_door(folder: str, doors: set[str]) -> None:
    found = {
        f"{path.parent.name}/{path.name}"
        for path in (ROOT / folder).rglob("*.py")
        if any(within(name, CONNECTS) for name in imports(path))
    }
    assert found - LISTENERS == doors


LISTENERS = {"inference/serve.py"}
"""Opens a socket to listen on."""


def test_only_the_wiring_reads_the_settings() -> None:
    readers = [
        path.name
        for folder in ("layers", "chalice-app")
        for path in (ROOT / folder).rglob("*.py")
        if any(within(name, {"parley.settings", "os"}) for name in imports(path))
    ]
    assert readers == ["wiring.py"]


def test_nobody_asks_whether_it_runs_locally() -> None:
    for folder in ("layers", "chalice-app"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text().lower()
            assert not any(word in text for word in ("is_local", "localhost", "127.0.0.1", "moto", "local_mode")), path
