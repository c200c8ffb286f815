"""Write the stack as plain CloudFormation into a file, for those who judge it: `python -m ... FILE`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from scripts.deployment.artefacts import translate
from scripts.deployment.package import write_package

PLACE = "s3://artefacts"


def main(target: Path) -> int:
    """Package, translate, write; artefacts are named as if they lay in a bucket."""
    with tempfile.TemporaryDirectory() as name:
        package = write_package(Path(name) / "package", "arm64", lambda text: None)
        template = json.loads((package.folder / "template.json").read_text())
    for resource in template["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][key] = f"{PLACE}/{Path(resource['Properties'][key]).name}"
    target.write_text(json.dumps(translate(template, "eu-west-1"), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
