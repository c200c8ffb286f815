"""The Chalice app packages into a SAM template without AWS, and the package carries what it must, and no more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`chalice package`, in a copy: it writes into its project's folder."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "chalice-app", folder / "app", ignore=shutil.ignore_patterns("__pycache__", "deployments"))
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "layers"), "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", "prod"]
    command += ["--merge-template", ".chalice/resources.json", str(folder / "out")]
    subprocess.run(command, cwd=folder / "app", env=environment, check=True, capture_output=True, timeout=120)
    return folder / "out"


def test_the_template_has_every_function_and_resource(package: Path) -> None:
    resources = json.loads((package / "sam.json").read_text())["Resources"]
    kinds = {name: body["Type"] for name, body in resources.items()}
    functions = {name for name, kind in kinds.items() if kind == "AWS::Serverless::Function"}
    assert functions == {"APIHandler", "Think", "Reply", "Deliver", "Sweep"}
    assert {"Table", "Bucket", "Inbox", "Replies", "Outbox", "ModelSucceeded", "ModelFailed"} <= kinds.keys()


def test_the_visibility_timeout_is_six_times_the_functions(package: Path) -> None:
    resources = json.loads((package / "sam.json").read_text())["Resources"]
    for function, queue in (("Think", "Inbox"), ("Reply", "Replies"), ("Deliver", "Outbox")):
        timeout = resources[function]["Properties"]["Timeout"]
        assert resources[queue]["Properties"]["VisibilityTimeout"] >= 6 * timeout
        assert resources[queue]["Properties"]["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_the_package_is_the_app_and_its_page_alone(package: Path) -> None:
    with zipfile.ZipFile(package / "deployment.zip") as archive:
        names = {name for name in archive.namelist() if not name.startswith("chalice/")}
    assert {"app.py", "chalicelib/wiring.py", "chalicelib/web/index.html", "chalicelib/web/main.js"} <= names
    assert all(name == "app.py" or name.startswith("chalicelib/") for name in names)
    assert (package / "deployment.zip").stat().st_size < MOST_BYTES
