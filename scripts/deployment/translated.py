"""Write the stack as plain CloudFormation into a file, for those who judge it: `python -m ... FILE`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from scripts.deployment.artefacts import Json, addressed, translate
from scripts.deployment.package import write_package


def translated(folder: Path) -> Json:
    """A package's template as plain CloudFormation, its artefacts named as if they lay in a bucket."""
    return translate(addressed(folder, lambda file: f"s3://artefacts/{file.name}"), "eu-west-1")


def main(target: Path) -> int:
    """Package, translate, write."""
    with tempfile.TemporaryDirectory() as name:
        package = write_package(Path(name) / "package", "arm64", lambda text: None)
        target.write_text(json.dumps(translated(package.folder), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
