"""List every pinned dependency with its version, licence and part, as a table or as a CycloneDX bill of materials.

With --advisories FILE it also reads what pip-audit found, and ends with 1 when a pinned version is known to be
vulnerable. Licences are read from the packages as they are installed: a pin of another platform has none here.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.deployment.arguments import explain, say

PROGRAM = "audit"
ROOT = Path(__file__).parents[2]
PARTS = ("layers", "inference", "inference/training", "scripts", "tests")
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;#]+)")
ELSEWHERE = "not installed here"
NOTHING_KNOWN = (
    "no source of advisories could be asked, so nothing is known of these versions. Where the network allows it, "
    "scripts/audit dependencies asks again; or hand the bill of materials (--sbom) to a scanner that has a database."
)


@dataclass(frozen=True, slots=True)
class Dependency:
    """One pin. `part` is whose requirements name it, or `transitive`."""

    name: str
    version: str
    licence: str
    part: str


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when a version is known to be vulnerable; 2 with one line that says what to do."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit dependencies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="also write a CycloneDX bill of materials")
    parser.add_argument("--advisories", type=Path, metavar="FILE", help="pip-audit's JSON, to judge the versions by")
    options = parser.parse_args(arguments)
    with explain(PROGRAM) as outcome:
        found = list(dependencies(ROOT))
        if options.sbom is not None:
            options.sbom.write_text(json.dumps(bill_of_materials(found), indent=2) + "\n")
        if options.json:
            print(json.dumps([{name: getattr(d, name) for name in d.__slots__} for d in found]))
        else:
            print("\n".join(f"{d.name:<28}{d.version:<14}{d.licence:<44}{d.part}" for d in found))
        if options.advisories is not None:
            outcome.status = _judge(json.loads(options.advisories.read_text()))
    return outcome.status


def dependencies(root: Path) -> Iterator[Dependency]:
    """Every pin of constraints.txt, in its order."""
    named = {_canonical(name): part for part in reversed(PARTS) for name, _ in _pins(root / part / "requirements.txt")}
    for name, version in _pins(root / "constraints.txt"):
        yield Dependency(name, version, licence_of(name), named.get(_canonical(name), "transitive"))


def licence_of(name: str) -> str:
    """A package's licence in its own words: its SPDX expression, classifiers or short text, else which file."""
    try:
        stated = importlib.metadata.metadata(name).json
    except importlib.metadata.PackageNotFoundError:
        return ELSEWHERE
    named = [entry.rpartition(" :: ")[2] for entry in stated.get("classifier", []) if "License ::" in entry]
    short = str(stated.get("license", "")).strip().partition("\n")[0]
    in_file = str(stated.get("license_file", "")).partition("\n")[0]
    return (
        str(stated.get("license_expression", ""))
        or ", ".join(entry for entry in named if entry != "OSI Approved")
        or short
        or (f"as in its {in_file}" if in_file else "not stated")
    )


def bill_of_materials(found: Sequence[Dependency]) -> dict[str, Any]:
    """A CycloneDX 1.6 document."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{_canonical(d.name)}@{d.version}",
            "name": d.name,
            "version": d.version,
            "purl": f"pkg:pypi/{_canonical(d.name)}@{d.version}",
            "licenses": [{"license": {"name": d.licence}}],
            "properties": [{"name": "parley:part", "value": d.part}],
        }
        for d in found
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "parley", "name": "parley"}},
        "components": components,
    }


def _judge(told: Mapping[str, Any]) -> int:
    """What pip-audit's report says: 1 when there is a known vulnerability; says so where nothing could be asked."""
    entries = told.get("dependencies", [])
    asked = [entry for entry in entries if "skip_reason" not in entry]
    vulnerable = [entry for entry in asked if entry.get("vulns")]
    for entry in vulnerable:
        for advisory in entry["vulns"]:
            fixed = ", ".join(advisory.get("fix_versions") or []) or "no version yet"
            say(PROGRAM, f"{entry['name']} {entry['version']}: {advisory['id']}; fixed in {fixed}")
    if not asked:
        say(PROGRAM, NOTHING_KNOWN)
    else:
        say(PROGRAM, f"{len(asked)} of {len(entries)} versions judged, {len(vulnerable)} with known vulnerabilities")
    return int(bool(vulnerable))


def _pins(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text().splitlines():
        if match := PIN.match(line):
            yield match[1], match[2]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
