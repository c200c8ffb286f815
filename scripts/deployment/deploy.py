"""A deployment from beginning to end: each step can be repeated, so a run that died goes on when it is run again.

Order: look at the account, package, send the artefacts, make the stack; then the image, the model, and the stack
again with both. The endpoint comes last because it needs an image, and the image needs the stack's repository.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3

from scripts.deployment.account import Account, check_quota, identify
from scripts.deployment.archives import fingerprint
from scripts.deployment.artefacts import make_bucket, translate, upload, upload_all
from scripts.deployment.image import build_image, find_image
from scripts.deployment.package import Package, write_package
from scripts.deployment.registry import SCHEME, model_in_use
from scripts.deployment.stack import Plan, Stack
from scripts.deployment.weights import check_folder, send_folder
from scripts.operations.cost import load_prices

HUB_ID = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
DEFAULT_INSTANCE = "ml.g6.xlarge"


@dataclass(frozen=True)
class Wishes:
    """What the owner wants. `parameters` are the template's own; `model` a folder, an s3:// address, a hub id, or
    `registry:PLACE/NAME`, which is looked up."""

    stage: str
    architecture: str = "arm64"
    model: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def stack(self) -> str:
        """The stack's name."""
        return f"parley-{self.stage}"

    @property
    def folder(self) -> Path | None:
        """The model's folder, when it is one: what looks like a hub id is one unless there is such a folder."""
        if self.model is None or self.model.startswith("s3://"):
            return None
        folder = Path(self.model).expanduser()
        return None if HUB_ID.fullmatch(self.model) and not folder.is_dir() else folder


class Deployer:
    """One run. `say` hears what is done, `confirm` decides on a plan, `pause` sleeps."""

    def __init__(
        self,
        session: boto3.Session,
        wishes: Wishes,
        say: Callable[[str], None],
        confirm: Callable[[Plan], bool],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._wishes = wishes
        self._say = say
        self._confirm = confirm
        self._pause = pause
        self.stack = Stack(session, wishes.stack, say, pause)

    def run(self) -> dict[str, str] | None:
        """Deploy; the stack's outputs, or None when the owner did not agree. Raises DeploymentFailed or a child."""
        account = self.check()
        with tempfile.TemporaryDirectory(prefix="parley-") as name:
            package = write_package(Path(name) / "package", self._wishes.architecture, self._say)
            return self._deploy(account, package)

    def check(self) -> Account:
        """Everything that can be known to be wrong before anything is made."""
        account = identify(self._session)
        if (self._wishes.model or "").startswith(SCHEME):
            model = model_in_use(str(self._wishes.model), lambda: self._session.client("s3"))
            self._say(f"the registry has {model} in use")
            self._wishes = replace(self._wishes, model=model)
        self.stack.check()
        if self._wishes.folder is not None:
            check_folder(self._wishes.folder)
        settled = self.stack.parameters() | dict(self._wishes.parameters)
        most = int(settled.get("MaxInstances", "1"))
        if remark := check_quota(self._session, settled.get("InstanceType", DEFAULT_INSTANCE), most):
            self._say(remark)
        return account

    def _deploy(self, account: Account, package: Package) -> dict[str, str] | None:
        url = self._send(account, package)
        source = package.folder / "image-source.zip"
        given = self._priced() | self._known(source)
        if not self._change(url, given, ask=True):
            return None
        self._make_signing_key()
        outputs = self.stack.outputs()
        later: dict[str, str] = {}
        if "ImageUri" not in given:
            build_image(
                self._session, outputs["ImageBuildProject"], outputs["BucketName"], source, self._say, self._pause
            )
            later["ImageUri"] = f"{outputs['Repository']}:{fingerprint(source)}"
        if self._wishes.folder is not None:
            later["ModelUri"] = send_folder(self._session, outputs["BucketName"], self._wishes.folder, self._say)
        if later:
            self._change(url, self._priced() | later, ask=False)
        return self.stack.outputs()

    def _priced(self) -> dict[str, str]:
        """The owner's parameters, and what the instance costs, unless they say it."""
        settled = self.stack.parameters() | dict(self._wishes.parameters)
        price = load_prices()["instances_per_hour"].get(settled.get("InstanceType", DEFAULT_INSTANCE))
        return ({"InstanceUsdPerHour": str(price)} if price is not None else {}) | dict(self._wishes.parameters)

    def _known(self, source: Path) -> dict[str, str]:
        """What the first change can bring along: an image that was built before, a model that is in S3 already."""
        known: dict[str, str] = {}
        outputs = self.stack.outputs()
        if (repository := outputs.get("Repository")) and (
            image := find_image(self._session, repository, fingerprint(source))
        ):
            known["ImageUri"] = image
        model = self._wishes.model
        if model is not None and model.startswith("s3://"):
            known |= {"ModelUri": model.rstrip("/") + "/", "ModelId": ""}
        elif model is not None and self._wishes.folder is None:
            known |= {"ModelUri": "", "ModelId": model}
        elif model is not None:
            known |= {"ModelId": ""}
        return known

    def _send(self, account: Account, package: Package) -> str:
        """Send artefacts and template; the template's address."""
        bucket = make_bucket(self._session, account)
        template = translate(upload_all(self._session, bucket, package.folder, self._say), account.region)
        file = package.folder / "cloudformation.json"
        file.write_text(json.dumps(template))
        key = upload(self._session, bucket, file, self._say)
        suffix = self._session.client("s3").meta.endpoint_url.rstrip("/")
        return f"{suffix}/{bucket}/{key}"

    def _change(self, url: str, parameters: Mapping[str, str], ask: bool) -> bool:
        """Make the change that is needed, if any; False when the owner did not agree to it."""
        plan = self.stack.plan(url, parameters)
        if not plan.id:
            self._say("the stack is as it should be")
            return True
        if ask and not self._confirm(plan):
            self.stack.discard(plan)
            return False
        self.stack.execute(plan)
        return True

    def _make_signing_key(self) -> None:
        """The deployment's own key, for response ids and visitors' cookies, unless it has one."""
        client = self._session.client("ssm")
        name = f"/{self._wishes.stack}/signing-key"
        try:
            value = json.dumps({"key": secrets.token_hex(32)})
            client.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=False)
            self._say("made the deployment's signing key")
        except client.exceptions.ParameterAlreadyExists:
            pass


def describe(outputs: Mapping[str, Any]) -> str:
    """What the owner wants to know at the end."""
    return "\n".join(f"{name:<20} {value}" for name, value in sorted(outputs.items()))
