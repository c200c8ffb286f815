"""`scripts/audit dependencies`: everything that is pinned is listed, and an advisory is not overlooked."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.operations import dependencies
from scripts.operations.dependencies import ELSEWHERE, PARTS, ROOT

FOUND = list(dependencies.dependencies(ROOT))


def test_every_pin_is_listed_once_with_its_licence() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [f"{found.name}=={found.version}" for found in FOUND] == [line.partition(" ")[0] for line in lines]
    assert {found.licence for found in FOUND if found.licence == "not stated"} == set()
    assert len([found for found in FOUND if found.licence == ELSEWHERE]) < 10


def test_every_direct_dependency_is_pinned() -> None:
    pinned = {re.sub(r"[-_.]+", "-", found.name).lower() for found in FOUND}
    for part in PARTS:
        for line in (ROOT / part / "requirements.txt").read_text().splitlines():
            if named := re.match(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", line):
                assert re.sub(r"[-_.]+", "-", named[1]).lower() in pinned, line


def test_what_is_deployed_is_under_licences_that_ask_for_no_source() -> None:
    deployed = [found for found in FOUND if found.part in ("layers", "inference")]
    assert len(deployed) > 8
    assert not [found for found in deployed if re.search(r"\bA?GPL|General Public", found.licence)]


def test_the_bill_of_materials_names_each_by_its_package_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dependencies.main(["--json", "--sbom", str(tmp_path / "bom.json")]) == 0
    listed = json.loads(capsys.readouterr().out)
    bill = json.loads((tmp_path / "bom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [entry["name"] for entry in bill["components"]] == [entry["name"] for entry in listed]
    refs = [entry["bom-ref"] for entry in bill["components"]]
    assert len(refs) == len(set(refs))
    boto3 = next(entry for entry in bill["components"] if entry["name"] == "boto3")
    assert boto3["purl"] == f"pkg:pypi/boto3@{boto3['version']}"
    assert boto3["licenses"] == [{"license": {"name": "Apache-2.0"}}]


KNOWN = {"name": "idna", "version": "3.20", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["3.21"]}]}


@pytest.mark.parametrize(
    ("entries", "status", "says"),
    [
        ([{"name": "six", "version": "1.17.0", "vulns": []}, KNOWN], 1, "idna 3.20: PYSEC-2026-1; fixed in 3.21"),
        ([{"name": "six", "version": "1.17.0", "vulns": []}], 0, "1 of 1 versions judged, 0 with known"),
        ([{"name": "six", "skip_reason": "not found"}], 0, "nothing is known of these versions"),
        ([], 0, "nothing is known of these versions"),
    ],
)
def test_a_known_vulnerability_ends_with_1_and_no_answer_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], entries: list[Any], status: int, says: str
) -> None:
    told = tmp_path / "advisories.json"
    told.write_text(json.dumps({"dependencies": entries}))
    assert dependencies.main(["--advisories", str(told)]) == status
    assert says in capsys.readouterr().err


def test_another_part_than_there_is_ends_with_2() -> None:
    run = subprocess.run([ROOT / "scripts/audit", "nothing"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "no part 'nothing'" in run.stderr
