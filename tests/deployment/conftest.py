"""One package of the whole stack for all tests here, and its template as CloudFormation would get it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from scripts.deployment.package import Package, write_package

Json = dict[str, Any]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return write_package(tmp_path_factory.mktemp("deployment") / "package", "arm64", lambda text: None)


@pytest.fixture(scope="session")
def template(package: Package) -> Json:
    """The SAM template."""
    found: Json = json.loads((package.folder / "template.json").read_text())
    return found


@pytest.fixture(scope="session")
def translated(template: Json) -> Json:
    """The same as plain CloudFormation, with addresses in place of the artefacts beside it."""
    from samtranslator.translator.transform import transform

    class NoManagedPolicies:
        def load(self) -> dict[str, str]:
            return {}

    uploaded = copy.deepcopy(template)
    for resource in uploaded["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][name] = f"s3://artefacts/{Path(resource['Properties'][name]).name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        found: Json = transform(uploaded, {}, NoManagedPolicies())
    return found
