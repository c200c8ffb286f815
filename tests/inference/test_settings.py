"""Settings: every one is documented, and what the environment says is checked as arguments are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import settings

README = Path(settings.__file__).with_name("README.md")
SOURCE = Path(settings.__file__).read_text("utf-8")
ENVIRONMENT = r"(?:PARLEY|SAGEMAKER|SM)_[A-Z_]+"


def documented() -> str:
    text = README.read_text("utf-8")
    return text[text.index("\n## Settings") : text.index("\n## The engine")]


def test_the_table_names_every_argument_and_no_other() -> None:
    arguments = {
        option
        for action in settings._parser({})._actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    }
    assert set(re.findall(r"^\| `(--[a-z-]+)`", documented(), re.MULTILINE)) == arguments


def test_the_table_names_every_variable_that_is_read_and_no_other() -> None:
    assert set(re.findall(ENVIRONMENT, documented())) == set(re.findall(f'"({ENVIRONMENT})"', SOURCE))


def test_each_argument_stands_beside_the_variable_that_sets_it() -> None:
    for line in documented().splitlines():
        if not (found := re.match(r"\| `--([a-z-]+)` \| (.*?) \|", line)):
            continue
        name, variables = found.group(1).replace("-", "_"), re.findall(ENVIRONMENT, found.group(2))
        assert variables, line
        for variable in variables:
            kind = type(getattr(settings.Settings(), name))
            low, high = settings.RANGES.get(name, (0, 0))
            choices = settings.CHOICES.get(name, ("other",))
            text = {int: str(int(low) + 1), float: str(high)}.get(kind, choices[-1])
            seen = getattr(settings.read([], {variable: text}), name)
            expected = getattr(settings.read([f"--{found.group(1)}", text], {}), name)
            assert str(seen) == str(expected), variable


@pytest.mark.parametrize(
    "environment",
    [{"PARLEY_DTYPE": "int3"}, {"PARLEY_WEIGHTS": "int1"}, {"PARLEY_PORT": "-1"}, {"PARLEY_KV_BYTES": "lots"}],
)
def test_a_wrong_variable_ends_with_a_line_and_2(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.read(["--model", "m"], environment)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_count_of_cpus_that_is_none_is_ignored() -> None:
    assert settings.read(["--model", "m"], {"SM_NUM_CPUS": "many"}).threads >= 1
