"""An account on moto in this process, as far as moto goes, in which a deployment can be made to die at any call."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
from moto import mock_aws
from moto.cloudformation.models import ChangeSet

from scripts.deployment import artefacts

REGION = "eu-west-1"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

NOT_IN_MOTO = {
    "AWS::ApiGateway::RestApi": "moto makes a REST API without the methods of its Body",
    "AWS::ApiGateway::Deployment": "which then cannot be deployed",
    "AWS::ApiGateway::Stage": "nor have a stage",
    "AWS::Lambda::Permission": "which the API's permission names",
}
"""What is taken out of the template for moto, and why. What moto passes over by itself: IGNORED."""

IGNORED = {
    "AWS::CodeBuild::Project", "AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription",
    "AWS::Lambda::EventInvokeConfig", "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CloudWatch::Alarm",
}  # fmt: skip
"""Types that moto's CloudFormation does not make, and says so with a warning."""

Json = dict[str, Any]


class Died(BaseException):
    """The process is gone: no `except Exception` sees it."""


class Cloud:
    """A session whose calls are counted and may be the last: `die_at` is the number of the call that kills."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.die_at: int | None = None
        self.quotas = {"ml.g4dn.xlarge": 1, "ml.g6.xlarge": 0}
        self.builds = 0
        hooked = botocore.session.get_session()
        hooked.register("before-call.*.*", self._before)
        hooked.register("before-call.service-quotas.ListServiceQuotas", self._quotas)
        hooked.register("before-parameter-build.codebuild.StartBuild", self._build)
        self.session = boto3.Session(botocore_session=hooked, region_name=REGION)
        self.outside = boto3.Session(region_name=REGION)

    def _before(self, model: Any, **_: Any) -> None:
        self.calls.append(f"{model.service_model.service_name} {model.name}")
        if self.die_at is not None and len(self.calls) > self.die_at:
            # An upload's own thread that died alone would leave the others waiting: there the call fails instead.
            alone = threading.current_thread() is not threading.main_thread()
            raise ConnectionError(self.calls[-1]) if alone else Died(self.calls[-1])

    def _quotas(self, **_: Any) -> tuple[Any, Json]:
        """The answer of Service Quotas, which moto has for other services only."""
        quotas = [{"QuotaName": f"{kind} for endpoint usage", "Value": float(n)} for kind, n in self.quotas.items()]
        return SimpleNamespace(status_code=200), {"Quotas": quotas, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _build(self, params: Mapping[str, Any], **_: Any) -> None:
        """CodeBuild's work, which moto leaves out: the image is pushed under the tag that the build is given."""
        client = self.outside.client("ecr")
        tag = {v["name"]: v["value"] for v in params["environmentVariablesOverride"]}["TAG"]
        (repository,) = client.describe_repositories()["repositories"]
        name, manifest = (
            repository["repositoryName"],
            json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "tag": tag}),
        )
        self.builds += 1
        with contextlib.suppress(client.exceptions.ImageAlreadyExistsException):
            client.put_image(repositoryName=name, imageManifest=manifest, imageTag=tag)


@contextmanager
def cloud(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ACCESS_KEY_ID", "x")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    patch.setattr("scripts.deployment.deploy.translate", translate_for_moto)
    patch.setattr(ChangeSet, "apply", apply_change_set)
    patch.setattr("yaml.load", lambda text, Loader=None: json.loads(text))  # moto reads JSON as YAML, at 0.3 s a look
    with mock_aws():
        made = Cloud()
        make_build_project(made)
        yield made


def translate_for_moto(template: Json, region: str) -> Json:
    """The real translation, less the types in NOT_IN_MOTO and the outputs that speak of them."""
    plain = artefacts.translate(template, region)
    gone = {name for name, resource in plain["Resources"].items() if resource["Type"] in NOT_IN_MOTO}
    plain["Resources"] = {name: body for name, body in plain["Resources"].items() if name not in gone}
    for resource in plain["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            del resource["Properties"]["Layers"]  # moto cannot update a function that has some
    plain["Outputs"] = {name: body for name, body in plain["Outputs"].items() if not mentions(body, gone)}
    return plain


def apply_change_set(change_set: Any) -> None:
    """What CloudFormation does and moto leaves out: the stack takes the change's template, parameters and outputs.

    A resource whose condition comes to hold is new, for which moto needs to see it in the template from then on only.
    """
    stack = change_set.stack
    stack.template = change_set.template
    stack._parse_template()
    defaults = {name: body.get("Default") for name, body in stack.template_dict["Parameters"].items()}
    values = {**defaults, **change_set.parameters}
    whole = change_set.template_dict["Resources"]
    held = {n: r for n, r in whole.items() if holds(r.get("Condition"), stack.template_dict["Conditions"], values)}
    had = dict(stack.resource_map._parsed_resources)
    stack.resource_map.update({**change_set.template_dict, "Resources": held}, change_set.parameters)
    made = stack.resource_map._parsed_resources
    made |= {name: body for name, body in had.items() if made.get(name) is None}  # moto loses what it cannot update
    stack.parameters = change_set.parameters
    stack.output_map = stack._create_output_map()


def holds(condition: Any, conditions: Json, values: Mapping[str, Any]) -> bool:
    """Whether one of the template's conditions (by name, or none at all) holds under these parameters."""
    if condition is None:
        return True
    kind, of = next(iter(conditions[condition].items() if isinstance(condition, str) else condition.items()))
    if kind == "Condition":
        return holds(of, conditions, values)
    if kind == "Fn::Not":
        return not holds(of[0], conditions, values)
    if kind == "Fn::And":
        return all(holds(entry, conditions, values) for entry in of)
    left, right = (values[side["Ref"]] if isinstance(side, dict) else side for side in of)
    return bool(left == right)


def mentions(value: Any, names: set[str]) -> bool:
    """Whether the value refers to one of the resources."""
    return any(f'"{name}"' in repr(value).replace("'", '"') or "${" + name in repr(value) for name in names)


def make_build_project(made: Cloud) -> None:
    """The project that the stack would have made: moto passes over its type."""
    made.outside.client("codebuild").create_project(
        name="parley-prod-image", source={"type": "S3", "location": "b/k"}, artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/service-role/build",
    )  # fmt: skip
