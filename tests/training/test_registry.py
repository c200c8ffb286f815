"""Promoting and rolling back: nothing worse comes into use, nothing half-sent is seen, two at once do not lose one."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from training.errors import Refused, StepFailed
from training.registry.description import Wish, model_sha256
from training.registry.gate import falls, load_thresholds
from training.registry.places import Bucket, Folder, Place
from training.registry.versions import Registry, earlier

from scripts.deployment.registry import model_in_use
from scripts.local.options import read_options
from scripts.training import models
from tests.aws.conftest import aws

__all__ = ["aws"]

SETS = {"tools.en": "a" * 64}
THRESHOLDS = load_thresholds()


def quiet(text: str) -> None:
    pass


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Folder(tmp_path / "registry")
    request.getfixturevalue("aws")
    client = boto3.client("s3")
    client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return Bucket(client, "models", "registry")


class Maker:
    """Makes model and evaluation folders as scripts/train and scripts/evaluate leave them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, name: str, sets: dict[str, str] = SETS, **metrics: float) -> Wish:
        model, evaluation = self._root / f"{name}-model", self._root / f"{name}-evaluation"
        for folder in (model, evaluation):
            folder.mkdir()
        (model / "config.json").write_text('{"model_type": "qwen3"}')
        (model / "model.safetensors").write_text(name)
        (model / "README.md").write_text("---\nlicense: x\n---\n# Mine\n\nIt knows shoes.")
        data = {"path": "prepared", "sha256": "d" * 64}
        told = {
            "base_model": "Qwen/Qwen3-0.6B",
            "method": "lora",
            "licence": "apache-2.0",
            "git_revision": "r1",
            "data": data,
        }
        (model / "training.json").write_text(json.dumps(told))
        (model / "checkpoint-5").mkdir()
        (model / "checkpoint-5/optimizer.pt").write_text("large")
        entries = {n.replace("_", "."): {"value": v, "low": v, "high": v, "n": 100, "better": "higher"}
                   for n, v in metrics.items()}  # fmt: skip
        about = {"model": {"name": name, "sha256": model_sha256(model)}, "sets": sets, "metrics": entries}
        (evaluation / "metrics.json").write_text(json.dumps({"format": 1, "kind": "evaluation", **about}))
        return Wish(model, evaluation, by="kim")


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_a_promoted_version_is_in_use_with_its_files_and_its_card(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    assert registry.promote(make("one", tool_name=0.9), THRESHOLDS, quiet) == "0001"
    current, _ = registry.in_use()
    assert current is not None
    assert current["version"] == "0001"
    keys = set(place.keys("shop/versions/0001/"))
    names = {key.removeprefix("shop/versions/0001/") for key in keys}
    assert names == {
        "claim.json", "version.json", "model/README.md", "model/config.json", "model/model.safetensors",
        "model/training.json", "evaluation/metrics.json",
    }  # fmt: skip
    found = place.read("shop/versions/0001/model/README.md")
    assert found is not None
    head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", found[0].decode(), re.DOTALL).groups()  # type: ignore[union-attr]
    front = yaml.safe_load(head)
    assert (front["license"], front["base_model"]) == ("apache-2.0", "Qwen/Qwen3-0.6B")
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "tool.name", "value": 0.9}]
    for told in ("It knows shoes.", "| tool.name | 0.9 |", "r1", "dddddddddddd", "`tools.en` (aaaaaaaaaaaa)"):
        assert told in body


def test_a_fall_past_its_threshold_is_refused_and_changes_nothing(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    registry.promote(make("one", tool_name=0.97, grounded_exact=0.9), THRESHOLDS, quiet)
    with pytest.raises(Refused, match=re.escape("tool.name fell from 0.97 to 0.9, by 0.07; at most 0.01 is allowed")):
        registry.promote(make("two", tool_name=0.9, grounded_exact=0.95), THRESHOLDS, quiet)
    with pytest.raises(Refused, match=re.escape("tool.name was not measured")):
        registry.promote(make("three", grounded_exact=0.95), THRESHOLDS, quiet)
    assert [v["version"] for v in registry.versions()] == ["0001"]
    assert registry.promote(make("four", tool_name=0.965, grounded_exact=0.95), THRESHOLDS, quiet) == "0002"


def test_metrics_of_other_sets_are_not_compared(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    first = make("one", tool_name=0.97)
    registry.promote(first, THRESHOLDS, quiet)
    harder = make("two", sets={"tools.en": "b" * 64}, tool_name=0.6)
    with pytest.raises(Refused, match="not the one that version 0001 was measured on"):
        registry.promote(harder, THRESHOLDS, quiet)
    again = make("one-again", sets={"tools.en": "b" * 64}, tool_name=0.5)
    evaluation = json.loads((again.evaluation / "metrics.json").read_text())
    evaluation["model"]["sha256"] = model_sha256(first.model)
    (again.evaluation / "metrics.json").write_text(json.dumps(evaluation))
    wish = Wish(harder.model, harder.evaluation, baseline=again.evaluation)
    assert registry.promote(wish, THRESHOLDS, quiet) == "0002"


def test_rolling_back_goes_one_version_back_each_time(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    for number in ("one", "two", "three"):
        registry.promote(make(number, tool_name=0.9), THRESHOLDS, quiet)
    assert [registry.roll_back("kim"), registry.roll_back("kim")] == ["0002", "0001"]
    with pytest.raises(StepFailed, match="no earlier version"):
        registry.roll_back("kim")
    assert registry.roll_back("kim", to="0003") == "0003"
    assert registry.roll_back("kim") == "0001"
    with pytest.raises(StepFailed, match="no version 0009"):
        registry.roll_back("kim", to="0009")
    current, _ = registry.in_use()
    assert current is not None
    assert [entry["action"] for entry in current["history"]] == ["promote"] * 3 + ["rollback"] * 4


def test_the_same_weights_are_promoted_once(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    wish = make("one", tool_name=0.9)
    assert registry.promote(wish, THRESHOLDS, quiet) == registry.promote(wish, THRESHOLDS, quiet) == "0001"
    assert len(registry.versions()) == 1


def test_of_two_that_promote_at_once_the_second_is_compared_with_the_first(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    registry.promote(make("one", tool_name=0.9), THRESHOLDS, quiet)
    good, middling = make("good", tool_name=0.99), make("middling", tool_name=0.95)
    done: list[str] = []

    def meanwhile(text: str) -> None:
        if not done:  # the other one comes in between comparing and the last write
            done.append(registry.promote(good, THRESHOLDS, quiet))

    with pytest.raises(Refused, match=re.escape("tool.name fell from 0.99 to 0.95")):
        registry.promote(middling, THRESHOLDS, meanwhile)
    current, _ = registry.in_use()
    assert current is not None
    assert current["version"] == done[0]
    assert len({v["version"] for v in registry.versions()}) == 3


def test_many_promotes_at_once_lose_none(tmp_path: Path, make: Maker) -> None:
    wishes = [make(f"m{n}", tool_name=0.9) for n in range(6)]
    numbers: list[str] = []

    def promote(wish: Wish) -> None:
        numbers.append(Registry(Folder(tmp_path / "registry"), "shop").promote(wish, THRESHOLDS, quiet))

    threads = [threading.Thread(target=promote, args=(wish,)) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current, _ = Registry(Folder(tmp_path / "registry"), "shop").in_use()
    assert current is not None
    assert sorted(numbers) == sorted(entry["version"] for entry in current["history"])
    assert len(set(numbers)) == 6


class Dies(Exception):
    """The process is gone."""


def test_whoever_dies_before_the_last_write_has_changed_nothing(place: Place, make: Maker) -> None:
    registry = Registry(place, "shop")
    registry.promote(make("one", tool_name=0.9), THRESHOLDS, quiet)

    def die(text: str) -> None:
        raise Dies

    wish = make("two", tool_name=0.95)
    with pytest.raises(Dies):
        registry.promote(wish, THRESHOLDS, die)
    current, _ = registry.in_use()
    assert current is not None
    assert current["version"] == "0001"
    assert [v["version"] for v in registry.versions()] == ["0001"]
    assert registry.promote(wish, THRESHOLDS, quiet) == "0003"


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        ({"fluency.perplexity": (12.0, "lower")}, {"fluency.perplexity": (10.0, "lower")}, "rose from 10 to 12, by 2"),
        ({"fluency.perplexity": (10.4, "lower")}, {"fluency.perplexity": (10.0, "lower")}, None),
        ({"speed.tokens": (80.0, "higher")}, {"speed.tokens": (100.0, "higher")}, None),
        ({"speed.tokens": (70.0, "higher")}, {"speed.tokens": (100.0, "higher")}, "at most 25 is allowed"),
        ({"tool.name": (float("nan"), "higher")}, {}, "is no number"),
        ({"tool.name": (0.98, "higher")}, {"tool.name": (0.97, "higher")}, None),
    ],
)
def test_thresholds_hold_in_the_direction_of_each_metric(new: Any, old: Any, told: str | None) -> None:
    def metrics(values: Any) -> dict[str, dict[str, Any]]:
        return {name: {"value": value, "better": better} for name, (value, better) in values.items()}

    found = falls(metrics(new), metrics(old), THRESHOLDS)
    assert (told in found[0]) if told else not found, found


def test_fewer_items_than_the_version_in_use_had_are_no_measure() -> None:
    old = {"tool.name": {"value": 0.9, "better": "higher", "n": 600}}
    new = {"tool.name": {"value": 1.0, "better": "higher", "n": 4}}
    assert falls(new, old, THRESHOLDS) == ["tool.name was measured on 4 items, that of the version in use on 600"]


def test_a_floor_holds_for_the_first_version_too() -> None:
    new = {"tool.name": {"value": 0.9, "better": "higher"}}
    assert falls(new, None, {"tool.*": {"at_least": 0.97}}) == ["tool.name is 0.9, below 0.97 by 0.07"]
    assert not falls(new, None, THRESHOLDS)


def test_history_is_replayed_as_a_stack() -> None:
    def history(*steps: tuple[str, str]) -> list[dict[str, str]]:
        return [{"action": action, "version": version} for action, version in steps]

    assert earlier(history(("promote", "1"), ("promote", "2"), ("rollback", "1"), ("promote", "3"))) == ["1"]
    assert earlier([]) == []


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = models.main([*arguments, "--registry", str(tmp_path / "registry"), "--name", "shop"])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def test_the_commands_promote_list_and_roll_back_with_their_exit_statuses(
    run: Run, make: Maker, tmp_path: Path
) -> None:
    one, two = make("one", tool_name=0.97), make("two", tool_name=0.5)
    status, out, _ = run("promote", str(one.model), "--evaluation", str(one.evaluation))
    assert status == 0
    assert f"scripts/deploy --model registry:{tmp_path}/registry/shop" in out
    status, _, err = run("promote", str(two.model), "--evaluation", str(two.evaluation))
    assert (status, err.count("\n")) == (1, 1)
    assert "tool.name fell from 0.97 to 0.5, by 0.47" in err
    thresholds = tmp_path / "loose.json"
    thresholds.write_text('{"*": {"fall": 1}}')
    loose = ("--thresholds", str(thresholds))
    assert run("promote", str(two.model), "--evaluation", str(two.evaluation), *loose)[0] == 0
    listed = json.loads(run("list", "--json")[1])
    assert [(entry["version"], entry["in_use"]) for entry in listed] == [("0001", False), ("0002", True)]
    table = run("--metric", "tool.name")[1].splitlines()
    (base,) = [at for at, line in enumerate(table) if line.startswith("Qwen3-0.6B")]
    assert [line.split() for line in table[base + 1 : base + 3]] == [
        ["shop", "0001", "0.970"],
        ["shop", "0002", "0.500"],
    ]
    assert json.loads(run("rollback", "--json")[1])["version"] == "0001"
    assert run("rollback")[0] == 2
    assert "there is nothing to roll back to" in run("history")[1]


def test_scripts_run_and_scripts_deploy_take_what_is_in_use(
    make: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(Folder(tmp_path / "registry"), "shop")
    address = f"registry:{tmp_path}/registry/shop"
    with pytest.raises(SystemExit):
        read_options(["--model", address])
    assert "no model in use" in capsys.readouterr().err
    for name in ("one", "two"):
        number = registry.promote(make(name, tool_name=0.9), THRESHOLDS, quiet)
        model = Path(registry.model_address(number))
        assert read_options(["--model", address]).model == str(model)
        assert Path(model_in_use(address, lambda: None)) == model
        assert (model / "model.safetensors").read_text() == name


def test_what_is_no_model_or_no_evaluation_of_it_ends_with_2(run: Run, make: Maker, tmp_path: Path) -> None:
    one, two = make("one", tool_name=0.9), make("two", tool_name=0.9)
    bare = tmp_path / "bare"
    shutil.copytree(one.model, bare)
    (bare / "model.safetensors").unlink()
    cases = [
        (str(tmp_path / "nowhere"), str(one.evaluation), "holds no config.json"),
        (str(bare), str(one.evaluation), "holds no weights"),
        (str(one.model), str(tmp_path), "no finished evaluation"),
        (str(one.model), str(two.evaluation), "evaluation of other weights"),
    ]
    for model, evaluation, told in cases:
        status, _, err = run("promote", model, "--evaluation", evaluation)
        assert (status, err.count("\n"), told in err) == (2, 1, True), err
    assert not (tmp_path / "registry").exists()
