"""Each function's role allows what the function does, and nothing that it never does.

Every AWS call of the functions is recorded with what it touches, on the way of messages that need all of them, and
judged against the function's policy by moto's policy evaluation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.iam.access_control import IAMPolicy, PermissionResult

from parley.domain.turn import Patience
from scripts.local.lambda_context import ACCOUNT
from tests.channels.platforms import Answer, SlackApi
from tests.deployment.recorded_system import REGION, Call, RecordedSystem, recorded_system
from tests.deployment.slack_user import SECRETS, TOKEN, say

POLICIES = Path(__file__).parents[2] / "chalice-app" / ".chalice"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:parley-alarms"
FUNCTIONS = ("api_handler", "think", "reply", "deliver", "sweep")

BUDGET = {"PARLEY_BUDGET_USD": "1", "PARLEY_INSTANCE_USD": "50", "PARLEY_ALARMS_TOPIC": TOPIC}

MADE_BY_LAMBDA = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "logs:CreateLogStream",
                  "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}  # fmt: skip
"""Allowed actions that no code of ours calls: the event source polls, the runtime writes logs and traces."""

TABLE_WRITES = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

Access = tuple[str, str, str]
"""Function, action, ARN of what it touches."""


@pytest.fixture(scope="module")
def accesses() -> Iterator[tuple[set[Access], dict[str, str]]]:
    """What every function did to what over messages on Slack, the API and the page; and the resources' ARNs."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), SlackApi(TOKEN) as slack:
        secrets = {**SECRETS, "SLACK_API_URL": slack.url}
        with recorded_system(patch, secrets, PARLEY_WAIT_SECONDS="0", **BUDGET) as system:
            live(system, slack)
            arns = {name: resource.arn for name, resource in system.deployment.resources.items()}
            yield {access for call in system.calls for access in touched(call, system)}, arns


def live(system: RecordedSystem, slack: SlackApi) -> None:
    """Everything that makes a function call AWS in a new way."""
    system.outside.client("sns").create_topic(Name="parley-alarms")
    # a turn, and one that waits for it; the channel is busy at first, then takes the answer
    say(system, "hello")
    system.work("think", "Inbox")
    say(system, "are you there?")
    system.work("think", "Inbox")
    system.answer("an answer")
    system.work("reply", "Replies")
    slack.script(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "0"}))
    assert system.work("deliver", "Outbox") == 0
    assert system.work("deliver", "Outbox") == 1
    # a result that only the bucket holds; the channel refuses the answer for good
    system.answer("another answer", inline=False)
    system.work("reply", "Replies")
    slack.script(Answer(200, {"ok": False, "error": "channel_not_found"}))
    system.work("deliver", "Outbox")
    # an answer that its run did not queue, sent before the next one
    for text in ("first", "second"):
        system.lose("Outbox")
        say(system, text)
        system.work("think", "Inbox")
        system.answer(f"to the {text}")
        system.work("reply", "Replies")
    assert system.work("deliver", "Outbox") == 1
    # prompts too large to travel along, from both stages that ask
    for _ in range(5):
        say(system, "long " * 6_000)
        system.work("think", "Inbox")
        say(system, "and?")
        system.work("think", "Inbox")
        system.answer("yes")
        system.work("reply", "Replies")
        system.answer("yes")
        system.work("reply", "Replies")
    system.work("deliver", "Outbox")
    poisoned(system)
    overdue(system)
    api_and_page(system)
    used_up(system)


def poisoned(system: RecordedSystem) -> None:
    """What each stage cannot do however often it tries: stored and not asked, not even stored, refused, unsendable."""

    def crash(*_: Any, **__: Any) -> Any:
        raise ValueError

    for broken in ("prompt.build", "conversation.accept"):
        say(system, "hello?")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"parley.domain.{broken}", crash)
            for _ in range(Patience().records):
                system.work("think", "Inbox")
    say(system, "hello?")
    system.work("think", "Inbox")
    system.fail("Received client error (400) from model.")
    system.work("reply", "Replies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parley.channels.slack.Slack.pieces", crash)
        for _ in range(Patience().records):
            system.work("deliver", "Outbox")


def overdue(system: RecordedSystem) -> None:
    """Turns that only the sweep can end: a lost notification, a model that never answers, an answer nobody sent."""
    say(system, "is anybody there?")
    system.work("think", "Inbox")
    say(system, "hello?")
    system.work("think", "Inbox")
    system.answer("nobody was told of this", notify=False)
    system.pass_time(1800)
    system.sweep()
    for _ in range(4):
        system.pass_time(1800)
        system.sweep()


def used_up(system: RecordedSystem) -> None:
    """A month's budget is used up, and what comes then is answered with a notice."""
    say(system, "is it still awake?")
    system.work("think", "Inbox")
    say(system, "and now?")
    system.work("think", "Inbox")
    for _ in range(3):
        system.sweep()
    system.begin_anew()  # what a process knows of the flag may be five minutes old
    system.answer("yes")
    system.work("reply", "Replies")
    say(system, "hello?")
    system.work("think", "Inbox")
    assert system.guard_is_closed()


def api_and_page(system: RecordedSystem) -> None:
    """The HTTP API's calls, and the web page's."""
    made = json.loads(system.http("POST", "/v1/responses", {"input": "hello", "background": True}).body)
    system.work("think", "Inbox")
    system.http("GET", f"/v1/responses/{made['id']}")
    system.http("POST", "/v1/responses", {"input": "again", "previous_response_id": made["id"], "background": True})
    system.work("think", "Inbox")
    system.answer("hello back")
    system.work("reply", "Replies")
    assert system.http("POST", f"/v1/responses/{made['id']}/feedback", {"rating": "up"}).status == 200
    assert system.http("DELETE", f"/v1/responses/{made['id']}").status == 200
    page = system.http("GET", "/", headers={})
    cookie = next(value for name, value in page.headers if name.lower() == "set-cookie").partition(";")[0]
    visitor = {"Cookie": cookie, "X-Parley": "1"}
    place = "/web/conversations/0123abcd-0000-4000-8000-000000000001"
    message = {"text": "hello", "client_id": "0123abcd-0000-4000-8000-000000000002"}
    assert system.http("POST", f"{place}/messages", message, visitor).status == 202
    system.work("think", "Inbox")
    assert system.http("GET", place, headers=visitor).status == 200
    assert system.http("GET", "/web/conversations", headers=visitor).status == 200
    assert system.http("POST", f"{place}/cancel", headers=visitor).status == 200
    system.work("think", "Inbox")
    assert system.http("DELETE", place, headers=visitor).status == 200


def touched(call: Call, system: RecordedSystem) -> Iterator[Access]:
    """The IAM actions of a call, each with the ARN that it needs them on (the services' authorisation references)."""
    sent = call.parameters

    def arn(service: str, place: str) -> str:
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{place}"

    def on(action: str, resource: str) -> Access:
        return call.function, action, resource

    if call.operation == "TransactWriteItems":
        for item in sent["TransactItems"]:
            for kind, write in item.items():
                yield on(f"dynamodb:{TABLE_WRITES[kind]}", arn("dynamodb", f"table/{write['TableName']}"))
    elif call.operation == "BatchWriteItem":
        for table in sent["RequestItems"]:
            yield on("dynamodb:BatchWriteItem", arn("dynamodb", f"table/{table}"))
    elif call.service == "dynamodb":
        index = f"/index/{sent['IndexName']}" if "IndexName" in sent else ""
        yield on(f"dynamodb:{call.operation}", arn("dynamodb", f"table/{sent['TableName']}{index}"))
    elif call.service == "sqs":
        made = system.deployment.resources.values()
        yield on(f"sqs:{call.operation}", next(r.arn for r in made if r.ref == sent["QueueUrl"]))
    elif call.service == "s3" and call.operation == "ListObjectsV2":
        yield on("s3:ListBucket", f"arn:aws:s3:::{sent['Bucket']}")
    elif call.service == "s3":
        yield on(f"s3:{call.operation}", f"arn:aws:s3:::{sent['Bucket']}/{sent['Key']}")
    elif call.service == "ssm":
        yield on(f"ssm:{call.operation}", arn("ssm", f"parameter/{sent['Name'].lstrip('/')}"))
    elif call.service == "sns":
        yield on("sns:Publish", sent["TopicArn"])
    elif call.service == "application-autoscaling":
        yield on(f"{call.service}:{call.operation}", arn(call.service, "scalable-target/0123456789"))
    elif call.service in ("sagemaker", "sagemaker-runtime"):
        yield on(f"sagemaker:{call.operation}", arn("sagemaker", f"endpoint/{sent['EndpointName']}"))
    else:
        raise AssertionError(f"{call.function} calls {call.service} {call.operation}: teach `touched` what that needs")


PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::StackName": "parley"}


def policy(function: str, arns: Mapping[str, str]) -> dict[str, Any]:
    """A function's policy as CloudFormation would resolve it; conditions apart, which narrow it further."""
    names = {**PSEUDO, **{f"{name}.Arn": arn for name, arn in arns.items()}}

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(entry) for entry in value if "Fn::If" not in entry]  # a key of the owner's own
        if not isinstance(value, dict):
            return value
        if "Fn::GetAtt" in value:  # log groups are not made here
            return names.get(".".join(value["Fn::GetAtt"]), f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/parley")
        if "Ref" in value:
            return {"Alarms": TOPIC}[value["Ref"]]
        if "Fn::Sub" in value:
            return re.sub(r"\$\{([^}]+)\}", lambda found: names[found[1]], value["Fn::Sub"])
        return {name: resolve(entry) for name, entry in value.items() if name != "Condition"}

    text = (POLICIES / f"policy-{function.replace('_', '-')}.json").read_text()
    resolved: dict[str, Any] = resolve(json.loads(text))
    return resolved


@pytest.fixture(scope="module")
def arns(accesses: tuple[set[Access], dict[str, str]]) -> dict[str, str]:
    return accesses[1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_all_that_its_function_does(
    function: str, accesses: tuple[set[Access], dict[str, str]], arns: dict[str, str]
) -> None:
    judged = IAMPolicy({"policy_document": json.dumps(policy(function, arns))})
    did = {access for access in accesses[0] if access[0] == function}
    assert did, "nothing was recorded"
    refused = {
        (action, resource)
        for _, action, resource in did
        if judged.is_action_permitted(action, resource) is not PermissionResult.PERMITTED
    }
    assert not refused


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_nothing_that_its_function_never_does(
    function: str, accesses: tuple[set[Access], dict[str, str]], arns: dict[str, str]
) -> None:
    did = [access for access in accesses[0] if access[0] == function]
    idle = set()
    for statement in policy(function, arns)["Statement"]:
        for action in set(statement["Action"]) - MADE_BY_LAMBDA:
            alone = {"Version": "2012-10-17", "Statement": [{**statement, "Action": [action]}]}
            judged = IAMPolicy({"policy_document": json.dumps(alone)})
            if not any(judged.is_action_permitted(a, r) is PermissionResult.PERMITTED for _, a, r in did):
                idle.add((statement["Sid"], action))
    assert not idle


def test_a_role_allows_no_other_stack_s_resources(arns: dict[str, str]) -> None:
    for function in FUNCTIONS:
        judged = IAMPolicy({"policy_document": json.dumps(policy(function, arns))})
        for action, resource in (
            ("dynamodb:GetItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/other"),
            ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:other-inbox.fifo"),
            ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/parley2/bots/default/slack"),
            ("s3:GetObject", "arn:aws:s3:::parley-bucket-123456789012/build/source.zip"),
            ("sagemaker:InvokeEndpointAsync", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/parley2"),
        ):
            assert judged.is_action_permitted(action, resource) is not PermissionResult.PERMITTED, (function, action)
