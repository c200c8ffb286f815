"""`scripts/chaos histories`: what it prints, and how it ends."""

from __future__ import annotations

import json
import re

import pytest

from parley.stages import inbox_to_model
from tests.chaos import histories
from tests.simulation.promises import KEPT

pytestmark = pytest.mark.may_show_secrets("a history shows its own texts")


def test_a_table_says_that_every_promise_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert histories.main(["-n", "60", "--jobs", "2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("60 histories in")
    assert re.findall(r"^(\w+) +0 ", told, re.MULTILINE) == list(KEPT)


def test_what_is_broken_is_told_with_the_command_that_plays_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_to_model, "finish_earlier_run", lambda *_: None)
    assert histories.main(["-n", "50", "--jobs", "1", "--json"]) == 1
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert report["histories"] == 50
    assert sum(report["broken"].values()) == len(report["broken_seeds"]) > 0
    again = re.search(r"again: scripts/chaos histories (--replay) ([\d.]+)", told.err)
    assert again is not None
    assert histories.main([*again.groups()]) == 1
    assert "Answered: " in capsys.readouterr().out
    monkeypatch.undo()
    assert histories.main([*again.groups()]) == 0


def test_a_stop_prints_what_was_played_until_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: histories.Progress, sums: histories.Sums) -> None:
        if sums.histories >= 100:
            raise KeyboardInterrupt

    monkeypatch.setattr(histories.Progress, "tell", interrupt)
    assert histories.main(["-n", "5000", "--jobs", "1"]) == histories.INTERRUPTED
    told = capsys.readouterr()
    assert told.out.startswith("100 histories in")
    assert "stopped" in told.err


@pytest.mark.parametrize("arguments", [["-n", "0"], ["--jobs", "no"], ["--replay", "1,2"], ["--seed", "x"]])
def test_wrong_use_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        histories.main(arguments)
    assert stopped.value.code == 2
