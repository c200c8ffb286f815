"""CloudFormation of moto as far as a deployment needs it: conditions, outputs and parameters of a change, a build.

moto makes most of the stack's resources; what it does not is left out, by name and with the reason. Replaces parts of
moto in the process. Knows nothing of what the stack is for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.models import ChangeSet
from moto.cloudformation.parsing import clean_json
from moto.codebuild.models import codebuild_backends
from moto.codebuild.responses import CodeBuildResponse
from moto.ecr.models import ecr_backends

Json = dict[str, Any]

LEFT_OUT = {
    "AWS::ApiGateway::RestApi": "moto makes a REST API without the methods of its Body",
    "AWS::ApiGateway::Deployment": "which then cannot be deployed",
    "AWS::ApiGateway::Stage": "nor have a stage",
    "AWS::Lambda::Permission": "which the API's permission names",
}
"""Types that are taken out of a template before moto sees it, and why."""

PASSED_OVER = {
    "AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::Lambda::EventInvokeConfig",
    "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm", "AWS::CodeBuild::Project",
}  # fmt: skip
"""Types that moto's CloudFormation does not make, and says so in a warning. Of a project, `_apply` makes one."""

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def install(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace moto's methods; `put` sets them, so that a test can take them back."""
    start_build = CodeBuildResponse.start_build

    def build(response: Any) -> Any:
        answer = start_build(response)
        _push_image(response)
        return answer

    put(ChangeSet, "_parse_template", _parse)
    put(ChangeSet, "apply", _apply)
    put(CodeBuildResponse, "start_build", build)


def _parse(change_set: Any) -> None:
    """The change's template without what moto could not make."""
    template = json.loads(change_set.template)
    gone = {name for name, resource in template["Resources"].items() if resource["Type"] in LEFT_OUT}
    template["Resources"] = {name: body for name, body in template["Resources"].items() if name not in gone}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"].pop("Layers", None)  # moto cannot update a function that has some
    outputs = template.get("Outputs", {})
    template["Outputs"] = {name: body for name, body in outputs.items() if not _mentions(body, gone)}
    change_set.template_dict = template


def _apply(change_set: Any) -> None:
    """Make the change; the stack takes its template, parameters and outputs, which moto leaves out.

    A resource whose condition comes to hold is new, for which moto must see it in the template from then on only.
    """
    stack, template = change_set.stack, change_set.template_dict
    defaults = {name: body.get("Default") for name, body in template.get("Parameters", {}).items()}
    values = {**defaults, **change_set.parameters}
    conditions = template.get("Conditions", {})
    held = {n: r for n, r in template["Resources"].items() if holds(r.get("Condition"), conditions, values)}
    had = dict(stack.resource_map._parsed_resources)
    stack.resource_map.update({**template, "Resources": held}, change_set.parameters)
    made = stack.resource_map._parsed_resources
    made |= {name: body for name, body in had.items() if made.get(name) is None}  # moto loses what it cannot update
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack._parse_template()
    stack.template_dict = {**stack.template_dict, "Outputs": template["Outputs"]}
    stack.output_map = stack._create_output_map()
    for resource in held.values():
        if resource["Type"] == "AWS::CodeBuild::Project":
            _make_project(stack, clean_json(resource["Properties"]["Name"], stack.resource_map))


def holds(condition: Any, conditions: Json, values: Mapping[str, Any]) -> bool:
    """Whether one of a template's conditions (by name, or none at all) holds under these parameters."""
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


def _make_project(stack: Any, name: str) -> None:
    """A CodeBuild project that builds nothing."""
    backend = codebuild_backends[stack.account_id][stack.region_name]
    if name not in backend.codebuild_projects:
        backend.create_project(
            project_name=name, description=None, project_source={"type": "S3", "location": "bucket/key"},
            artifacts={"type": "NO_ARTIFACTS"}, environment={"type": "LINUX_CONTAINER"}, tags=None, cache=None,
            service_role=f"arn:aws:iam::{stack.account_id}:role/build", timeout=None, queued_timeout=None,
            source_version=None, logs_config=None, vpc_config=None,
        )  # fmt: skip


def _push_image(response: Any) -> None:
    """What the stack's build ends with: an image under the tag that it was given, in the stack's repository."""
    project = str(response._get_param("projectName"))
    variables = {v["name"]: v["value"] for v in response._get_param("environmentVariablesOverride") or []}
    backend = ecr_backends[response.current_account][response.region]
    name, tag = f"{project.removesuffix('-image')}-inference", variables.get("TAG")
    if tag is None or name not in backend.repositories:
        return
    if any(tag in image.image_tags for image in backend.repositories[name].images):
        return
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "tag": tag})
    backend.put_image(repository_name=name, image_manifest=manifest, image_tag=tag)


def _mentions(value: Any, names: set[str]) -> bool:
    """Whether the value refers to one of the resources."""
    text = json.dumps(value)
    return any(f'"{name}"' in text or f"${{{name}" in text for name in names)
