"""The one definition of the resources becomes real ones, however often it is provisioned."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.local import local_settings
from scripts.local.provision import Deployment, Provisioner, UnknownResource
from tests.local.processes import ROOT, LocalProcess

TEMPLATE = json.loads((ROOT / "chalice-app" / ".chalice" / "resources.json").read_text())


def session_of(cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    return boto3.Session("test", "test", region_name="us-east-1")


def provision(session: boto3.Session, stack: str) -> Deployment:
    return Provisioner(session, stack).provision(TEMPLATE)


def test_every_resource_is_there_as_the_definition_says(cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(cloud, monkeypatch)
    deployment = provision(session, "whole")
    assert deployment.resources.keys() == TEMPLATE["Resources"].keys()
    queues = session.client("sqs")
    for name, body in TEMPLATE["Resources"].items():
        if body["Type"] != "AWS::SQS::Queue":
            continue
        url = deployment.resources[name].ref
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["QueueArn"] == deployment.resources[name].arn
        for key, value in body["Properties"].items():
            if key == "RedrivePolicy":
                target = value["deadLetterTargetArn"]["Fn::GetAtt"][0]
                wanted = {
                    "deadLetterTargetArn": deployment.resources[target].arn,
                    "maxReceiveCount": value["maxReceiveCount"],
                }
                assert json.loads(attributes[key]) == wanted
            elif key != "QueueName":
                assert attributes[key] == (str(value).lower() if isinstance(value, bool) else str(value)), (
                    name,
                    key,
                )
    table = session.client("dynamodb")
    name = deployment.environment["PARLEY_TABLE"]
    described = table.describe_table(TableName=name)["Table"]
    definition = TEMPLATE["Resources"]["Table"]["Properties"]
    indexes = {index["IndexName"]: index for index in described["GlobalSecondaryIndexes"]}
    for index in definition["GlobalSecondaryIndexes"]:
        assert indexes[index["IndexName"]]["KeySchema"] == index["KeySchema"]
        assert indexes[index["IndexName"]]["Projection"] == index["Projection"]
    expiry = table.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}


def test_a_published_notification_arrives_raw_in_the_replies_queue(
    cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(cloud, monkeypatch)
    for _ in range(2):  # provisioned twice, subscribed once: one message each
        deployment = provision(session, "raw")
    for topic in ("ModelSucceeded", "ModelFailed"):
        session.client("sns").publish(TopicArn=deployment.resources[topic].ref, Message=topic)
    queue, url = session.client("sqs"), deployment.resources["Replies"].ref
    messages = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in messages) == ["ModelFailed", "ModelSucceeded"]


def test_provisioning_again_keeps_content_and_gives_the_same_environment(
    cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(cloud, monkeypatch)
    first = provision(session, "again")
    local_settings.write_api_key(session, first.environment["PARLEY_TABLE"], "secret key")
    second = provision(session, "again")
    assert second == first
    assert second.environment["PARLEY_SECRETS_PATH"] == "/again"
    assert second.environment["PARLEY_ENDPOINT"] == "again"
    items = session.client("dynamodb").scan(TableName=first.environment["PARLEY_TABLE"])["Items"]
    assert [(item["sk"]["S"], item["caller"]["S"]) for item in items] == [("KEY", "local")]
    assert items[0]["pk"]["S"] == f"KEY#{hashlib.sha256(b'secret key').hexdigest()}"


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ({"A": {"Type": "AWS::Kinesis::Stream"}}, "AWS::Kinesis::Stream"),
        ({"A": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Absent"}}}}, "Absent"),
        ({"A": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Join": ["", []]}}}}, "Fn::Join"),
        (
            {
                "A": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "B"}}},
                "B": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "A"}}},
            },
            "circle",
        ),
    ],
)
def test_what_is_not_understood_is_named(
    cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch, template: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UnknownResource, match=complaint):
        Provisioner(session_of(cloud, monkeypatch), "unknown").provision({"Resources": template})


def test_channel_credentials_go_from_variables_to_secure_parameters(
    cloud: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(cloud, monkeypatch)
    variables = {
        "SLACK_SIGNING_SECRET": "s1",
        "SLACK_API_URL": "http://127.0.0.1:1/api",
        "TELEGRAM_BOT_TOKEN": "",
        "OTHER": "x",
    }
    assert local_settings.write_secrets(session, "/secrets", "00ff", variables) == ["slack"]
    assert local_settings.write_secrets(session, "/secrets", "00ff", variables) == ["slack"]
    found = session.client("ssm").get_parameters_by_path(Path="/secrets", Recursive=True, WithDecryption=True)
    values = {entry["Name"]: (entry["Type"], json.loads(entry["Value"])) for entry in found["Parameters"]}
    assert values == {
        "/secrets/bots/default/slack": (
            "SecureString",
            {"signing_secret": "s1", "api_url": "http://127.0.0.1:1/api"},
        ),
        "/secrets/signing-key": ("SecureString", {"key": "00ff"}),
    }


def test_the_signing_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = local_settings.keep_signing_key(tmp_path)
    assert len(bytes.fromhex(key)) == 32
    assert local_settings.keep_signing_key(tmp_path) == key
    assert stat.S_IMODE(os.stat(tmp_path / "signing-key").st_mode) == 0o600
