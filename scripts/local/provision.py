"""The resources, secrets and API key that a deployment has, made through plain AWS calls.

Reads the one definition of the resources, ``chalice-app/.chalice/resources.json``, and makes what it says
(moto's CloudFormation lacks subscriptions and queue policies, hence not through a stack). Safe to repeat.
Knows nothing of processes; works against whatever cloud the session's endpoint is.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

import boto3

STACK = "parley"

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """What a logical id of the template became: its ``Ref`` value, its ARN, its type."""

    type: str
    ref: str
    arn: str


@dataclass(frozen=True)
class Deployment:
    """The made resources by logical id, and the environment that the functions get."""

    resources: dict[str, Resource]
    environment: dict[str, str]


class UnknownResource(ValueError):
    """The template holds something that provision.py cannot make; the message says what and what to do."""


class Provisioner:
    """Makes the resources of a template in one region, in the order that their references ask for."""

    def __init__(self, session: boto3.Session, stack: str = STACK) -> None:
        self._session = session
        self._stack = stack
        self._region = session.region_name
        self._account = ""
        self._made: dict[str, Resource] = {}

    def provision(self, template: Json) -> Deployment:
        """Make every resource of the template and return them with the resolved function environment.

        Raises UnknownResource for a type, property reference or function that is not understood, and
        botocore's ClientError when the cloud refuses.
        """
        self._account = self._session.client("sts").get_caller_identity()["Account"]
        waiting = dict(template["Resources"])
        while waiting:
            ready = [name for name, body in waiting.items() if not _references(body) & waiting.keys()]
            if not ready:
                raise UnknownResource(f"resources {sorted(waiting)} refer to each other in a circle")
            for name in ready:
                self._made[name] = self._make(name, waiting.pop(name))
        variables = template.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
        return Deployment(dict(self._made), {name: str(self._resolve(value)) for name, value in variables.items()})

    def _make(self, name: str, body: Json) -> Resource:
        makers = {
            "AWS::DynamoDB::Table": self._table,
            "AWS::S3::Bucket": self._bucket,
            "AWS::SQS::Queue": self._queue,
            "AWS::SQS::QueuePolicy": self._queue_policy,
            "AWS::SSM::Parameter": self._parameter,
            "AWS::SNS::Topic": self._topic,
            "AWS::SNS::Subscription": self._subscription,
        }
        maker = makers.get(body["Type"])
        if maker is None:
            raise UnknownResource(
                f"resource {name} has type {body['Type']}; teach scripts/local/provision.py to make it"
            )
        ref, arn = maker(name, self._resolve(body.get("Properties", {})))
        return Resource(body["Type"], ref, arn)

    # -- one method a type: (logical id, resolved properties) -> (Ref, ARN) ----------------------------------

    def _table(self, name: str, properties: Json) -> tuple[str, str]:
        client = self._session.client("dynamodb")
        table_name = properties.get("TableName", f"{self._stack}-{name}")
        taken = {"TimeToLiveSpecification", "PointInTimeRecoverySpecification", "TableName"}
        arguments = {key: value for key, value in properties.items() if key not in taken}
        if "SSESpecification" in arguments:
            arguments["SSESpecification"] = {"Enabled": arguments["SSESpecification"]["SSEEnabled"]}
        with contextlib.suppress(client.exceptions.ResourceInUseException):  # made by an earlier run
            client.create_table(TableName=table_name, **arguments)
        client.get_waiter("table_exists").wait(TableName=table_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        expiry = properties.get("TimeToLiveSpecification")
        current = client.describe_time_to_live(TableName=table_name)["TimeToLiveDescription"]
        if expiry and current["TimeToLiveStatus"] not in {"ENABLED", "ENABLING"}:
            client.update_time_to_live(TableName=table_name, TimeToLiveSpecification=expiry)
        recovery = properties.get("PointInTimeRecoverySpecification")
        if recovery:
            client.update_continuous_backups(TableName=table_name, PointInTimeRecoverySpecification=recovery)
        return table_name, client.describe_table(TableName=table_name)["Table"]["TableArn"]

    def _bucket(self, name: str, properties: Json) -> tuple[str, str]:
        client = self._session.client("s3")
        bucket = properties.get("BucketName", f"{self._stack}-{name.lower()}-{self._account}")
        place = (
            {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # made by an earlier run
            client.create_bucket(Bucket=bucket, **place)
        return bucket, f"arn:aws:s3:::{bucket}"

    def _queue(self, name: str, properties: Json) -> tuple[str, str]:
        client = self._session.client("sqs")
        attributes = {key: _attribute(value) for key, value in properties.items() if key not in {"QueueName", "Tags"}}
        suffix = ".fifo" if attributes.get("FifoQueue") == "true" else ""
        queue_name = properties.get("QueueName", f"{self._stack}-{name}{suffix}")
        try:
            url = client.get_queue_url(QueueName=queue_name)["QueueUrl"]
            changeable = {key: value for key, value in attributes.items() if key != "FifoQueue"}
            client.set_queue_attributes(QueueUrl=url, Attributes=changeable)
        except client.exceptions.QueueDoesNotExist:
            url = client.create_queue(QueueName=queue_name, Attributes=attributes)["QueueUrl"]
        return url, client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def _queue_policy(self, name: str, properties: Json) -> tuple[str, str]:
        policy = json.dumps(properties["PolicyDocument"])
        for url in properties["Queues"]:
            self._session.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return name, ""

    def _topic(self, name: str, properties: Json) -> tuple[str, str]:
        topic_name = properties.get("TopicName", f"{self._stack}-{name}")
        arn = self._session.client("sns").create_topic(Name=topic_name)["TopicArn"]
        return arn, arn

    def _subscription(self, name: str, properties: Json) -> tuple[str, str]:
        attributes = {
            key: _attribute(value)
            for key, value in properties.items()
            if key in {"RawMessageDelivery", "RedrivePolicy", "FilterPolicy", "FilterPolicyScope"}
        }
        arn = self._session.client("sns").subscribe(
            TopicArn=properties["TopicArn"],
            Protocol=properties["Protocol"],
            Endpoint=properties["Endpoint"],
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return arn, arn

    def _parameter(self, name: str, properties: Json) -> tuple[str, str]:
        client = self._session.client("ssm")
        known = {"Name", "Type", "Value", "Description", "Tier", "AllowedPattern", "DataType"}
        arguments = {key: value for key, value in properties.items() if key in known}
        # one made by an earlier run may have been changed by its owner since: it stays
        with contextlib.suppress(client.exceptions.ParameterAlreadyExists):
            client.put_parameter(**{"Name": f"{self._stack}-{name}", **arguments})
        return arguments[
            "Name"
        ], f"arn:aws:ssm:{self._region}:{self._account}:parameter/{arguments['Name'].lstrip('/')}"

    # -- the template's functions ----------------------------------------------------------------------------

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolve(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"}:
            return self._reference(value["Ref"])
        if set(value) == {"Fn::GetAtt"}:
            target = value["Fn::GetAtt"]
            name, attribute = target if isinstance(target, list) else target.split(".", 1)
            return self._attribute_of(name, attribute)
        if set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            return re.sub(r"\$\{([^!}]+)\}", self._substitute, value["Fn::Sub"])
        function = next((key for key in value if key.startswith("Fn::")), None)
        if function:
            raise UnknownResource(f"{json.dumps(value)}: teach scripts/local/provision.py the function {function}")
        return {key: self._resolve(entry) for key, entry in value.items()}

    def _substitute(self, match: re.Match[str]) -> str:
        name, dot, attribute = match.group(1).partition(".")
        return str(self._attribute_of(name, attribute) if dot else self._reference(name))

    def _reference(self, name: str) -> str:
        pseudo = {
            "AWS::StackName": self._stack,
            "AWS::Region": self._region,
            "AWS::AccountId": self._account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        if name in pseudo:
            return str(pseudo[name])
        if name not in self._made:
            raise UnknownResource(f"Ref {name}: no such resource or pseudo parameter in resources.json")
        return self._made[name].ref

    def _attribute_of(self, name: str, attribute: str) -> str:
        if name not in self._made:
            raise UnknownResource(f"Fn::GetAtt {name}.{attribute}: no such resource in resources.json")
        if attribute in {"Arn", "TopicArn"}:
            return self._made[name].arn
        if attribute in {"QueueName", "TopicName"}:
            return self._made[name].arn.rpartition(":")[2]
        raise UnknownResource(f"Fn::GetAtt {name}.{attribute}: teach scripts/local/provision.py this attribute")


def _references(body: Any) -> set[str]:
    """Return the logical ids (and pseudo parameters) that a piece of the template refers to."""
    if isinstance(body, list):
        return set().union(*map(_references, body)) if body else set()
    if not isinstance(body, dict):
        return set()
    found: set[str] = set()
    for key, value in body.items():
        if key == "Ref":
            found.add(value)
        elif key == "Fn::GetAtt":
            found.add(value[0] if isinstance(value, list) else value.split(".")[0])
        elif key == "Fn::Sub":
            text = value if isinstance(value, str) else value[0]
            found |= {name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text)}
        elif key == "DependsOn":
            found |= {value} if isinstance(value, str) else set(value)
        else:
            found |= _references(value)
    return found


def _attribute(value: Any) -> str:
    """Return a template value as SQS and SNS take it: text, with lower-case booleans and JSON for objects."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
