"""`scripts/deploy --package`: one template and its artefacts, whole, reproducible and small."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.deployment.__main__ import _parser, main
from scripts.deployment.archives import fingerprint
from scripts.deployment.failures import MissingPackage
from scripts.deployment.layers import installed
from scripts.deployment.package import MOST_BYTES, Package, write_package
from scripts.local.stand_in.sqs import DEDUPLICATION_SECONDS

ROOT = Path(__file__).parents[2]
MOST_FUNCTION_BYTES = 200_000

Json = dict[str, Any]


def test_the_template_has_every_function_and_resource(template: Json) -> None:
    kinds = {name: body["Type"] for name, body in template["Resources"].items()}
    functions = {name for name, kind in kinds.items() if kind == "AWS::Serverless::Function"}
    assert functions == {"APIHandler", "Think", "Reply", "Deliver", "Sweep"}
    assert {"Table", "Bucket", "Inbox", "Replies", "Outbox", "ModelSucceeded", "ModelFailed"} <= kinds.keys()
    assert {"Model", "EndpointConfig", "Endpoint", "Instances", "WakeUp", "Backlog", "ImageBuild"} <= kinds.keys()


def test_a_record_comes_back_when_its_run_is_over_and_before_the_queues_forget_what_it_sent(template: Json) -> None:
    resources = template["Resources"]
    for function, queue in (("Think", "Inbox"), ("Reply", "Replies"), ("Deliver", "Outbox")):
        timeout = resources[function]["Properties"]["Timeout"]
        visibility = resources[queue]["Properties"]["VisibilityTimeout"]
        assert visibility >= 6 * timeout
        # what a run that died had sent is still known when its record comes again and the run sends it once more
        assert visibility + timeout <= DEDUPLICATION_SECONDS
        assert resources[queue]["Properties"]["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_every_queue_hands_its_own_function_what_failed_alone(template: Json) -> None:
    for function, queue in (("Think", "Inbox"), ("Reply", "Replies"), ("Deliver", "Outbox")):
        (source,) = template["Resources"][function]["Properties"]["Events"].values()
        assert source["Properties"]["Queue"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_every_artefact_that_the_template_names_lies_beside_it(package: Package, template: Json) -> None:
    named = {
        Path(resource["Properties"][name]).name
        for resource in template["Resources"].values()
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys()
    }
    assert named == {"function.zip", "parley-layer.zip", "packages-layer.zip"}
    assert named <= package.artefacts.keys()


def test_the_function_is_the_app_and_its_page_alone(package: Package) -> None:
    with zipfile.ZipFile(package.folder / "function.zip") as archive:
        names = {name for name in archive.namelist() if not name.startswith("chalice/")}
    assert {"app.py", "chalicelib/wiring.py", "chalicelib/web/index.html", "chalicelib/web/main.js"} <= names
    assert all(name == "app.py" or name.startswith("chalicelib/") for name in names)
    assert (package.folder / "function.zip").stat().st_size < MOST_FUNCTION_BYTES


def test_code_and_layers_keep_to_their_budget(package: Package) -> None:
    assert 0 < package.unpacked <= MOST_BYTES


def test_the_same_sources_make_the_same_bytes(package: Package, tmp_path: Path) -> None:
    again = write_package(tmp_path / "again", "arm64", lambda text: None)
    assert again.artefacts == package.artefacts
    assert all(fingerprint(again.folder / name) == digest for name, (_, digest) in again.artefacts.items())


def test_the_architecture_changes_the_template_and_no_archive(package: Package, tmp_path: Path) -> None:
    other = write_package(tmp_path / "other", "x86_64", lambda text: None)
    changed = {name for name in package.artefacts if other.artefacts[name] != package.artefacts[name]}
    assert changed == {"template.json"}


def test_the_layers_alone_carry_what_the_functions_import(package: Package, tmp_path: Path) -> None:
    for name in ("packages-layer.zip", "parley-layer.zip"):
        with zipfile.ZipFile(package.folder / name) as archive:
            assert all(entry.startswith("python/") for entry in archive.namelist())
            archive.extractall(tmp_path)
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'python')!r}]\n"
        "import boto3, aws_xray_sdk.core, parley.aws.table, parley.aws.telemetry, parley.stages.overdue_turns\n"
        "from aws_lambda_powertools import Tracer\n"
        "from aws_lambda_powertools.utilities.batch import BatchProcessor\n"
        "boto3.client('dynamodb', region_name='eu-west-1')\n"
        "print(boto3.__file__)"
    )
    # -I -S: neither this environment's packages nor the current folder
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(str(tmp_path))


def test_the_image_gets_what_its_dockerfile_copies(package: Package) -> None:
    with zipfile.ZipFile(package.folder / "image-source.zip") as archive:
        names = set(archive.namelist())
    copied = [
        word
        for line in (ROOT / "inference" / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
        if not word.startswith("--")
    ]
    assert copied
    for source in copied:
        pattern = source.rstrip("/")
        assert any(name == pattern or name.startswith(f"{pattern}/") or Path(name).match(pattern) for name in names)
    assert not any("__pycache__" in name for name in names)


def test_a_package_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "package"
    assert main(["--package", str(folder)]) == 0
    assert main(["--package", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["artefacts"].keys() == {file.name for file in folder.iterdir()}
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["--package", str(tmp_path)]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("stage", ["", "Prod", "9lives", "a" * 17, "a_b"])
def test_a_stage_that_no_stack_could_be_named_after_is_refused(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--stage", stage, "--package", str(tmp_path / "package")])
    assert stopped.value.code == 2
    assert "16 lower-case" in capsys.readouterr().err


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# one\nno-such-package-here==1.0  # why\n")
    with pytest.raises(MissingPackage, match="no-such-package-here"):
        installed(tmp_path / "requirements.txt")


def test_warm_hours_are_one_setting() -> None:
    given = _parser().parse_args(["--warm", "mon-fri,9-18"]).warm
    assert given == {"WarmFrom": "0 9 ? * MON-FRI *", "WarmUntil": "0 18 ? * MON-FRI *"}
    assert _parser().parse_args(["--warm", "never"]).warm == {"WarmFrom": "", "WarmUntil": ""}


@pytest.mark.parametrize("text", ["", "9-18", "MON-FRI", "MON-FRI,18-9", "MON-FRI,9-24", "FOO,9-18", "MON-FRI,9"])
def test_what_are_no_warm_hours_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["--warm", text])
