"""The owner's page says what there is: every metric that the code counts, every parameter, every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "scripts/operations/README.md").read_text()


def test_every_metric_that_the_code_counts_is_in_the_table_and_no_other() -> None:
    code = "\n".join(file.read_text() for folder in ("layers", "chalice-app") for file in (ROOT / folder).rglob("*.py"))
    counted = set(re.findall(r'\.count\(\s*"([A-Za-z]+)"', code)) | set(re.findall(r'_tokens", "(Tokens\w+)"', code))
    table = PAGE.partition("## Metrics")[2]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == counted


def test_every_parameter_that_an_owner_may_set_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.partition("## Settings")[2].partition("## Metrics")[0]))
    given = {"ImageUri", "InstanceUsdPerHour"}  # scripts/deploy's own
    from scripts.deployment import watching

    parts = [
        json.loads((ROOT / "chalice-app/.chalice" / part).read_text()) for part in ("functions.json", "model.json")
    ]
    parameters = {name for part in [*parts, watching.resources()] for name in part.get("Parameters", {})}
    assert parameters - given == {name for name in named if name in parameters}


def test_every_command_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `scripts/(\w+)", PAGE, re.MULTILINE))
    files = {file.stem for file in (ROOT / "scripts/operations").glob("*.py")}
    commands = {name for name in files if (ROOT / "scripts" / name).is_file()}
    assert commands <= named
    assert all((ROOT / "scripts" / name).is_file() for name in named)
