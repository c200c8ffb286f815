"""SECURITY.md keeps to what there is: every test that it names exists, every item and every limit is spoken of."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from parley.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_it_names_exists() -> None:
    assert len(NAMED) > 40
    for file in {file for file, _ in NAMED}:
        tree = ast.parse((ROOT / file).read_text())
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert {name for other, name in NAMED if other == file} <= there, file


def test_nothing_that_looks_like_a_named_test_escapes_this_check() -> None:
    assert PAGE.count("::") - PAGE.count("`file::test`") == len(NAMED)


def test_every_item_of_both_lists_is_answered_by_a_test_or_said_to_be_open() -> None:
    lists = PAGE.partition("## OWASP API")[2].partition("## Limits")[0]
    items = re.split(r"^\*\*(API\d+|LLM\d\d) ", lists, flags=re.MULTILINE)
    told = dict(zip(items[1::2], items[2::2], strict=True))
    assert set(told) == {f"API{n}" for n in range(1, 11)} | {f"LLM{n:02}" for n in range(1, 11)}
    assert not [name for name, text in told.items() if "::test_" not in text and "*Open:*" not in text]


def test_its_limits_and_their_defaults_are_those_of_the_settings_and_of_the_template() -> None:
    parameters = json.loads((ROOT / "chalice-app/.chalice/functions.json").read_text())["Parameters"]
    variables = json.loads((ROOT / "chalice-app/.chalice/functions.json").read_text())["Globals"]["Function"]
    given = variables["Environment"]["Variables"]
    queues = ("INBOX_URL", "OUTBOX_URL", "INBOX_DEAD_LETTERS_URL", "OUTBOX_DEAD_LETTERS_URL")
    names = ("TABLE", "BUCKET", *queues, "ENDPOINT", "SECRETS_PATH")
    settings = Settings.read({f"PARLEY_{name}": "x" for name in names})
    rows = re.findall(r"^\| `PARLEY_(\w+)`, `(\w+)` \|.*\| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for variable, parameter, default in rows:
        number = int(default.replace(",", ""))
        assert getattr(settings, variable.lower()) == parameters[parameter]["Default"] == number
        assert given[f"PARLEY_{variable}"] == {"Ref": parameter}
