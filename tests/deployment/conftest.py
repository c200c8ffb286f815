"""One package of the whole stack for all tests here, and its template as CloudFormation would get it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.deployment.package import Package, write_package
from scripts.deployment.translated import translated

Json = dict[str, Any]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return write_package(tmp_path_factory.mktemp("deployment") / "package", "arm64", lambda text: None)


@pytest.fixture(scope="session")
def template(package: Package) -> Json:
    """The SAM template."""
    found: Json = json.loads((package.folder / "template.json").read_text())
    return found


@pytest.fixture(scope="session", name="translated")
def _translated(package: Package) -> Json:
    """The same as plain CloudFormation, with addresses in place of the artefacts beside it."""
    return translated(package.folder)
