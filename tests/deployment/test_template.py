"""What the stack is, read from its template as SAM and as plain CloudFormation: valid, idle at nothing, closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cfnlint.api import lint

from parley.backends import sagemaker_async
from parley.domain.turn import Patience
from scripts.deployment import watching
from scripts.deployment.package import Package
from scripts.operations.scaling import OUT_COOLDOWN, Engine, Policy

ROOT = Path(__file__).parents[2]

Json = dict[str, Any]

BILLED_WHILE_IDLE = re.compile(
    r"AWS::(EC2::(NatGateway|Instance|VPCEndpoint|EIP)|ElasticLoadBalancing.*|RDS::.*|OpenSearch.*|Elasticsearch::.*"
    r"|Kendra::.*|ElastiCache::.*|MSK::.*|Kinesis::Stream|EKS::.*|ECS::Service|Redshift.*|DocDB::.*|Neptune::.*|DAX::.*"
    r"|Bedrock::ProvisionedModel.*|SageMaker::NotebookInstance|Transfer::Server|KMS::Key|SecretsManager::Secret"
    r"|WAFv2::WebACL|Lambda::(Version|Alias))"
)


def values(node: Any, name: str) -> Iterator[Any]:
    """Every value under this name, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for entry in node:
            yield from values(entry, name)


def of_type(template: Json, kind: str) -> dict[str, Json]:
    """The properties of every resource of a type, by its name."""
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}


def faults(template: str) -> list[str]:
    """What cfn-lint calls an error or a warning, in any partition; its informational advice is left out."""
    found = lint(template, regions=["eu-west-1", "us-east-1", "cn-north-1", "us-gov-west-1"])
    return [str(match) for match in found if match.rule.id[0] in "EW"]


def test_the_sam_template_is_valid(package: Package) -> None:
    assert faults((package.folder / "template.json").read_text()) == []


def test_what_cloudformation_gets_is_valid(translated: Json) -> None:
    assert faults(json.dumps(translated)) == []


def test_the_linter_that_judges_it_can_say_no(translated: Json) -> None:
    broken = json.loads(json.dumps(translated))
    broken["Resources"]["Inbox"]["Properties"]["VisibilityTimeout"] = 50_000
    broken["Resources"]["Table"]["Properties"]["KeySchema"][0]["AttributeName"] = "nobody"
    assert len(faults(json.dumps(broken))) >= 2


def test_nothing_in_the_stack_is_billed_by_the_hour_while_nobody_talks(translated: Json) -> None:
    kinds = {resource["Type"] for resource in translated["Resources"].values()}
    assert not {kind for kind in kinds if BILLED_WHILE_IDLE.fullmatch(kind)}
    assert not list(values(translated, "ProvisionedConcurrencyConfig"))
    assert not list(values(translated, "ProvisionedThroughput"))
    assert list(values(translated, "BillingMode")) == ["PAY_PER_REQUEST"]
    assert not any(values(translated, "CacheClusterEnabled"))
    (target,) = (
        r for r in translated["Resources"].values() if r["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    )
    assert target["Properties"]["MinCapacity"] == 0
    warm = target["Properties"]["ScheduledActions"]["Fn::If"]
    assert warm[0] == "Warms", "a minimum above zero only where the owner sets a schedule"
    assert translated["Parameters"]["WarmFrom"]["Default"] == translated["Parameters"]["WarmUntil"]["Default"] == ""


def test_nothing_names_a_region_an_account_or_a_partition(template: Json) -> None:
    text = json.dumps(template)
    assert not re.search(r"arn:aws[a-z-]*:(?!kms:\[)", text), "arn:${AWS::Partition} serves China and GovCloud as well"
    assert not re.search(r"\b[a-z]{2}(-gov)?-(north|south|east|west|central)[a-z]*-\d\b", text)
    assert not re.search(r"\b\d{12}\b", text)
    assert "amazonaws.com.cn" not in text


def test_what_is_stored_is_encrypted_closed_and_expires(template: Json) -> None:
    resources = template["Resources"]
    bucket = resources["Bucket"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] <= 7
    (statement,) = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    table = resources["Table"]
    assert table["DeletionPolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"]
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert table["Properties"]["TimeToLiveSpecification"]["Enabled"]
    for name, queue in of_type(template, "AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"]["Fn::If"][2] is True, name
    for name, topic in of_type(template, "AWS::SNS::Topic").items():
        if name != "Alarms":  # which holds nothing that a user wrote, and CloudWatch may not use that key
            assert topic["KmsMasterKeyId"]["Fn::If"][2] == "alias/aws/sns", name
    for name, group in of_type(template, "AWS::Logs::LogGroup").items():
        assert "RetentionInDays" in group, name


def test_a_record_is_given_up_by_its_function_before_its_queue_does_so_without_a_word(template: Json) -> None:
    patience = Patience()
    tries = {"Inbox": patience.records, "Replies": patience.records, "Outbox": max(patience.records, patience.busy)}
    for name, most in tries.items():
        redriven = template["Resources"][name]["Properties"]["RedrivePolicy"]
        assert redriven["maxReceiveCount"] > most, name
        assert redriven["deadLetterTargetArn"] == {"Fn::GetAtt": [f"{name}DeadLetters", "Arn"]}


def test_the_endpoint_notifies_with_the_answer_and_scales_from_zero(template: Json) -> None:
    resources = template["Resources"]
    configured = resources["EndpointConfig"]["Properties"]["AsyncInferenceConfig"]
    notified = configured["OutputConfig"]["NotificationConfig"]
    assert notified["SuccessTopic"] == {"Ref": "ModelSucceeded"}
    assert notified["ErrorTopic"] == {"Ref": "ModelFailed"}
    assert len(notified["IncludeInferenceResponseIn"]) == 2
    alarm = resources["WaitingForTheModel"]["Properties"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("HasBacklogWithoutCapacity", 1)
    assert alarm["AlarmActions"] == [{"Ref": "WakeUp"}]
    assert resources["Endpoint"]["Properties"]["RetainAllVariantProperties"] is True


def test_each_function_has_a_role_log_group_and_trace_of_its_own(template: Json) -> None:
    functions = {
        n: r["Properties"] for n, r in template["Resources"].items() if r["Type"] == "AWS::Serverless::Function"
    }
    roles = [json.dumps(properties["Role"]) for properties in functions.values()]
    groups = [properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in functions.values()]
    assert len(set(roles)) == len(set(groups)) == len(functions)
    assert all(properties["Tracing"] == "Active" for properties in functions.values())


POLICIES = sorted(ROOT.glob("chalice-app/.chalice/policy-*.json"))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_no_function_may_pass_a_role_or_touch_more_than_it_names(policy: Path) -> None:
    for entry in json.loads(policy.read_text())["Statement"]:
        statement = entry["Fn::If"][1] if "Fn::If" in entry else entry
        assert not [action for action in statement["Action"] if "*" in action or action.startswith("iam:")]
        if "*" in statement["Resource"]:
            assert {action.partition(":")[0] for action in statement["Action"]} == {"xray"}, "X-Ray knows no resources"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_a_key_of_the_owner_s_own_may_be_used_by_every_function_and_only_then(policy: Path) -> None:
    (own,) = [entry["Fn::If"] for entry in json.loads(policy.read_text())["Statement"] if "Fn::If" in entry]
    assert own[0] == "OwnKey"
    assert own[1]["Resource"] == [{"Ref": "KmsKeyArn"}]
    assert own[2] == {"Ref": "AWS::NoValue"}


def test_the_endpoint_hands_an_instance_as_many_requests_as_its_engine_computes_at_once(template: Json) -> None:
    resources = template["Resources"]
    client = resources["EndpointConfig"]["Properties"]["AsyncInferenceConfig"]["ClientConfig"]
    environment = resources["Model"]["Properties"]["PrimaryContainer"]["Environment"]
    assert client["MaxConcurrentInvocationsPerInstance"] == environment["PARLEY_ROWS"] == {"Ref": "RequestsAtOnce"}


def test_the_dashboard_shows_metrics_that_the_functions_write(template: Json) -> None:
    written = set(re.findall(r'count\(\s*"([A-Za-z]+)"|\("\w+", "(Tokens\w+)"\)', "\n".join(sources())))
    names = {name for pair in written for name in pair if name}
    shown = {name for _, _, metrics in watching.WIDGETS for namespace, name, _, _ in metrics if namespace == "Parley"}
    alarmed = {name for alarm in watching.ALARMS for namespace, name, _ in alarm.metrics if namespace == "Parley"}
    assert shown
    assert (shown | alarmed) <= names


def sources() -> list[str]:
    return [file.read_text() for folder in ("layers", "chalice-app") for file in (ROOT / folder).rglob("*.py")]


def test_the_dashboard_s_body_is_json_whatever_names_are_filled_in(template: Json) -> None:
    text, names = template["Resources"]["Board"]["Properties"]["DashboardBody"]["Fn::Sub"]
    filled = re.sub(r"\$\{(\w+)\}", lambda found: f"<{found[1]}>" if found[1] in names else "?", text)
    body = json.loads(filled)
    assert len(body["widgets"]) == len(watching.WIDGETS) + 1, "and the cost of a day"
    corners = {(widget["x"], widget["y"]) for widget in body["widgets"]}
    assert len(corners) == len(body["widgets"]), "none lies on another"
    assert "?" not in filled


def test_the_dashboard_and_every_alarm_can_be_switched_off(template: Json) -> None:
    for name, resource in template["Resources"].items():
        alarm = resource["Type"] == "AWS::CloudWatch::Alarm" and name != "WaitingForTheModel"  # which starts the model
        if alarm or resource["Type"] == "AWS::CloudWatch::Dashboard":
            condition = json.dumps(template["Conditions"][resource["Condition"]])
            assert '"on"' in condition, name


def test_every_alarm_tells_the_owner_and_nobody_else(template: Json) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    assert len(alarms) == len(watching.ALARMS) + 1
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "WakeUp" if name == "WaitingForTheModel" else "Alarms"}]


def test_the_simulation_the_code_and_the_template_agree_on_the_endpoint(template: Json) -> None:
    defaults = {name: body.get("Default") for name, body in template["Parameters"].items()}
    policy = Policy()
    assert (policy.most, policy.backlog, policy.keep_warm) == (
        defaults["MaxInstances"], defaults["BacklogPerInstance"], defaults["KeepWarmSeconds"],
    )  # fmt: skip
    assert Engine().slots == defaults["RequestsAtOnce"]
    scaling = template["Resources"]["Backlog"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert scaling["ScaleOutCooldown"] == OUT_COOLDOWN
    output = template["Resources"]["EndpointConfig"]["Properties"]["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == {"Fn::Sub": f"s3://${{Bucket}}/{sagemaker_async.OUT}/"}
    assert output["S3FailurePath"] == {"Fn::Sub": f"s3://${{Bucket}}/{sagemaker_async.FAILED}/"}
    expired = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"][0]["Prefix"]
    assert all(f"{place}/".startswith(expired) for place in (sagemaker_async.IN, sagemaker_async.OUT))


def test_the_endpoint_s_configuration_is_one_that_sagemaker_takes(template: Json) -> None:
    configured = resolved(template["Resources"]["EndpointConfig"]["Properties"], template)
    client = boto3.client("sagemaker", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubbed:  # which holds the request to botocore's model of the service
        arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/parley-prod"
        stubbed.add_response("create_endpoint_config", {"EndpointConfigArn": arn})
        client.create_endpoint_config(EndpointConfigName="parley-prod", **configured)


def resolved(value: Any, template: Json) -> Any:
    """A property with its parameters' defaults, and any text for what CloudFormation would look up."""
    if isinstance(value, list):
        return [resolved(entry, template) for entry in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return template["Parameters"].get(value["Ref"], {}).get("Default", "arn:aws:sns:eu-west-1:123456789012:x")
    if "Fn::If" in value:
        return resolved(value["Fn::If"][2], template)
    if "Fn::Sub" in value:
        return re.sub(r"\$\{\w+\}", "bucket", value["Fn::Sub"])
    if "Fn::GetAtt" in value:
        return "model"
    return {name: resolved(entry, template) for name, entry in value.items() if not absent(entry)}


def absent(value: Any) -> bool:
    """Whether a property is left out by default."""
    return isinstance(value, dict) and value.get("Fn::If", [None, None, None])[2] == {"Ref": "AWS::NoValue"}
