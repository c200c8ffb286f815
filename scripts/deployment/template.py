"""One SAM template of the whole stack: what Chalice makes of the app, with what lies beside its configuration.

Touches neither AWS nor the network; needs no credentials.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.deployment import watching
from scripts.deployment.failures import PackagingFailed

Json = dict[str, Any]

PARTS = ("resources.json", "functions.json", "model.json")
"""What is merged, in this order: data and queues (also made locally), how functions run, the model."""

CONFIGURED_STAGE = "prod"
"""The stage of .chalice/config.json. A deployment's own stage names its stack, and is nowhere in the template."""

RUNTIME = "python3.12"

POINTER = ("Ref", "Fn::")


def merge(under: Any, over: Any) -> Any:
    """`over` laid on `under`: objects deeply; anything else, lists and CloudFormation's functions too, replaces."""
    if not (isinstance(under, dict) and isinstance(over, dict)) or _is_function(over) or _is_function(under):
        return over
    return {**under, **{name: merge(under[name], value) if name in under else value for name, value in over.items()}}


def write_template(app: Path, layers: Path, architecture: str, folder: Path) -> Path:
    """Package the app of `app` into `folder`: template.json, and function.zip beside it. Raises PackagingFailed."""
    copy = folder / "app"
    shutil.copytree(app, copy, ignore=shutil.ignore_patterns("__pycache__", "deployments", "deployed"))
    configuration = copy / ".chalice"
    extra: Json = {}
    for part in PARTS:
        extra = merge(extra, json.loads((configuration / part).read_text()))
    extra = merge(extra, watching.resources())
    (configuration / "merged.json").write_text(json.dumps(extra))
    _package(copy, layers, folder / "chalice")
    template: Json = json.loads((folder / "chalice" / "sam.json").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            function = {"CodeUri": "./function.zip", "Architectures": [architecture], "Runtime": RUNTIME}
            resource["Properties"] |= function
            del resource["Properties"]["Tags"]  # they say which Chalice packaged it, and a stage that means nothing
    shutil.move(folder / "chalice" / "deployment.zip", folder / "function.zip")
    shutil.rmtree(folder / "chalice")
    shutil.rmtree(copy)
    target = folder / "template.json"
    target.write_text(json.dumps(template, indent=2) + "\n")
    return target


def _package(app: Path, layers: Path, target: Path) -> None:
    """Run `chalice package`. Chalice makes a client, hence a region and keys of no meaning; it calls nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "PYTHONPATH": str(layers.resolve()), "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", CONFIGURED_STAGE]
    command += ["--merge-template", ".chalice/merged.json", str(target)]
    done = subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise PackagingFailed(f"chalice package failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def _is_function(value: Any) -> bool:
    """Whether the object is one of CloudFormation's functions, `{"Ref": ...}` or `{"Fn::...": ...}`."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(POINTER)
