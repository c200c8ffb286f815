"""The stack's dashboard and alarms, made from two tables. Each can be switched off by a parameter of the template.

Standard metrics of SQS, Lambda and SageMaker cost nothing; Parley's own are those that its functions write anyway.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

QUEUES = ("Inbox", "Replies", "Outbox")
FUNCTIONS = ("APIHandler", "Think", "Reply", "Deliver", "Sweep")
NAMESPACE = "Parley"


def own(name: str, stage: str) -> tuple[str, str, Json]:
    """One of Parley's metrics: namespace, name, dimensions."""
    return NAMESPACE, name, {"service": "parley", "stage": stage}


def queue(name: str, resource: str) -> tuple[str, str, Json]:
    """A metric of SQS for a queue of the stack."""
    return "AWS/SQS", name, {"QueueName": {"Fn::GetAtt": [resource, "QueueName"]}}


def function(name: str, resource: str) -> tuple[str, str, Json]:
    """A metric of Lambda for a function of the stack."""
    return "AWS/Lambda", name, {"FunctionName": {"Ref": resource}}


def endpoint(name: str) -> tuple[str, str, Json]:
    """A metric of the asynchronous endpoint."""
    return "AWS/SageMaker", name, {"EndpointName": {"Ref": "AWS::StackName"}}


@dataclass(frozen=True)
class Alarm:
    """One alarm: the sum (or another statistic) of its metrics against a threshold, over `minutes`, `times` in a row.

    With `share_of`, 100 times the sum over the sum of those. Those that are `usually` on have ten metrics together with
    the alarm that starts the model: as many as are free.
    """

    name: str
    says: str
    metrics: list[tuple[str, str, Json]]
    threshold: float
    minutes: int = 5
    times: int = 1
    statistic: str = "Sum"
    together: str = "SUM"
    share_of: list[tuple[str, str, Json]] = field(default_factory=list)
    condition: str = ""
    usually: str = "on"


ALARMS = (
    Alarm(
        "DeadLetters", "Something could not be done, however often it was tried: scripts/redrive list.",
        [queue("ApproximateNumberOfMessagesVisible", f"{name}DeadLetters") for name in QUEUES], 1, 5, 1, "Maximum",
    ),
    Alarm(
        "OldestMessage", "A message has waited in a queue for five minutes: a function does not keep up, or fails.",
        [queue("ApproximateAgeOfOldestMessage", name) for name in QUEUES], 300, 5, 2, "Maximum", "MAX",
    ),
    Alarm(
        "ErrorRate", "More than one in twenty requests of the API failed; what fails behind it ends as a dead letter.",
        [function("Errors", "APIHandler")], 5, 5, 3, share_of=[function("Invocations", "APIHandler")],
    ),
    Alarm("OverdueTurns", "Turns passed their deadline: notifications get lost, or the model is too slow.",
          [own("OverdueTurns", "sweep")], 5, 15),
    Alarm("FailedTurns", "Users were told that there is no answer.", [own("TurnsFailed", "reply")], 5, 15,
          usually="off"),
    Alarm(
        "NoCapacity", "Requests have waited 20 minutes and no instance started: the type may be out of capacity.",
        [endpoint("HasBacklogWithoutCapacity")], 1, 5, 4, "Minimum", condition="HasImage", usually="off",
    ),
)  # fmt: skip

WIDGETS: tuple[tuple[str, str, list[tuple[str, str, Json, str]]], ...] = (
    ("Turns", "count", [(*own(name, "reply"), "Sum") for name in ("TurnsAnswered", "TurnsFailed", "ModelErrors")]
        + [(*own("TurnsCancelled", "think"), "Sum"), (*own("OverdueTurns", "sweep"), "Sum")]),
    ("Seconds that messages wait in queues", "seconds",
        [(*queue("ApproximateAgeOfOldestMessage", name), "Maximum") for name in QUEUES]),
    ("Milliseconds of a run, p50, p95, p99", "milliseconds",
        [(*function("Duration", name), share) for name in FUNCTIONS[:4] for share in ("p50", "p95", "p99")]),
    ("The model's backlog", "requests",
        [(*endpoint(name), "Maximum") for name in ("ApproximateBacklogSize", "HasBacklogWithoutCapacity")]),
    ("Seconds that the oldest request waits for the model", "seconds",
        [(*endpoint("ApproximateAgeOfOldestRequest"), "Maximum")]),
    ("Seconds that instances run; 3600 in an hour is one instance", "seconds",
        [(*own("InstanceSeconds", "sweep"), "Sum")]),
    ("Tokens", "tokens", [(*own(name, "reply"), "Sum") for name in ("TokensIn", "TokensOut")]),
    ("Dead letters", "letters",
        [(*queue("ApproximateNumberOfMessagesVisible", f"{name}DeadLetters"), "Maximum") for name in QUEUES]),
    ("Channels", "count", [(*own(name, "deliver"), "Sum") for name in ("PiecesSent", "ChannelBusy", "Undeliverable")]),
)  # fmt: skip


def resources() -> Json:
    """What is merged into the template: parameters, conditions, topic, alarms and dashboard."""
    parameters: Json = {
        "AlarmEmail": {"Type": "String", "Default": "", "Description": "Who is told of alarms; empty: nobody."},
        "Dashboard": _switch("The dashboard (3 USD a month beyond the account's first three)."),
    }
    conditions: Json = {
        "TellsByEmail": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]},
        "HasDashboard": {"Fn::Equals": [{"Ref": "Dashboard"}, "on"]},
    }
    made: Json = {
        "Alarms": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"KmsMasterKeyId": {"Fn::If": ["OwnKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}},
            "Metadata": _skip("CKV_AWS_26", "CloudWatch cannot publish to AWS's own key; alarms hold no user data."),
        },
        "AlarmsByEmail": {
            "Type": "AWS::SNS::Subscription",
            "Condition": "TellsByEmail",
            "Properties": {"TopicArn": {"Ref": "Alarms"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}},
        },
        "Board": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Condition": "HasDashboard",
            "Properties": {"DashboardName": {"Ref": "AWS::StackName"}, "DashboardBody": _body()},
        },
    }
    for alarm in ALARMS:
        switch = f"AlarmOn{alarm.name}"
        parameters[switch] = _switch(f"The alarm: {alarm.says}", alarm.usually)
        wanted: Json = {"Fn::Equals": [{"Ref": switch}, "on"]}
        conditions[f"Has{switch}"] = (
            {"Fn::And": [wanted, {"Condition": alarm.condition}]} if alarm.condition else wanted
        )
        made[f"{alarm.name}Alarm"] = _alarm(alarm, f"Has{switch}")
    return {"Parameters": parameters, "Conditions": conditions, "Resources": made}


def _alarm(alarm: Alarm, condition: str) -> Json:
    properties: Json = {
        "AlarmDescription": alarm.says,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": alarm.threshold,
        "EvaluationPeriods": alarm.times,
        "TreatMissingData": "notBreaching",
        "AlarmActions": [{"Ref": "Alarms"}],
        "OKActions": [{"Ref": "Alarms"}],
    }
    counted = [_query(f"m{i}", metric, alarm) for i, metric in enumerate(alarm.metrics)]
    whole = [_query(f"n{i}", metric, alarm) for i, metric in enumerate(alarm.share_of)]
    sums = f"{alarm.together}([{','.join(q['Id'] for q in counted)}])"
    if whole:
        # none of nothing is no share: a division by zero would be a gap
        of = f"SUM([{','.join(q['Id'] for q in whole)}])"
        sums = f"IF({of} > 0, 100 * {sums} / {of}, 0)"
    if len(counted) == 1 and not whole:
        statistic: Json = counted[0]["MetricStat"]
        properties |= {**statistic["Metric"], "Statistic": statistic["Stat"], "Period": statistic["Period"]}
    else:
        total = {"Id": "total", "Expression": sums, "ReturnData": True, "Label": alarm.name}
        properties["Metrics"] = [total, *counted, *whole]
    return {"Type": "AWS::CloudWatch::Alarm", "Condition": condition, "Properties": properties}


def _query(id: str, metric: tuple[str, str, Json], alarm: Alarm) -> Json:
    namespace, name, dimensions = metric
    at = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    stat = {"Metric": at, "Period": alarm.minutes * 60, "Stat": alarm.statistic}
    return {"Id": id, "ReturnData": False, "MetricStat": stat}


def _body() -> Json:
    """The dashboard's JSON, in which CloudFormation fills in the names that it gave."""
    names: Json = {"Region": {"Ref": "AWS::Region"}}

    def shown(value: Any) -> str:
        if isinstance(value, str):
            return value
        name = "".join(part for part in json.dumps(value) if part.isalnum())
        names[name] = value
        return f"${{{name}}}"

    widgets = []
    for place, (title, unit, metrics) in enumerate(WIDGETS):
        rows = [
            [namespace, name, *[part for pair in dimensions.items() for part in (pair[0], shown(pair[1]))],
             {"stat": statistic, "period": 300}]
            for namespace, name, dimensions, statistic in metrics
        ]  # fmt: skip
        properties = {
            "title": title, "region": "${Region}", "view": "timeSeries", "metrics": rows, "stacked": False,
            "yAxis": {"left": {"label": unit, "min": 0, "showUnits": False}},
        }  # fmt: skip
        widgets.append({"type": "metric", **_corner(place), "properties": properties})
    widgets.append(_cost_widget(len(WIDGETS), shown({"Ref": "InstanceUsdPerHour"})))
    return {"Fn::Sub": [json.dumps({"widgets": widgets}), names]}


def _cost_widget(place: int, hourly: str) -> Json:
    """What the instances cost a day, from the seconds that they ran."""
    namespace, name, dimensions = own("InstanceSeconds", "sweep")
    seconds = [namespace, name, *[part for pair in dimensions.items() for part in pair]]
    properties = {
        "title": "USD a day for instances", "region": "${Region}", "view": "timeSeries", "period": 86_400,
        "metrics": [
            [{"expression": f"s / 3600 * {hourly}", "label": "USD", "id": "usd"}],
            [*seconds, {"stat": "Sum", "period": 86_400, "id": "s", "visible": False}],
        ],
        "yAxis": {"left": {"label": "USD", "min": 0, "showUnits": False}},
    }  # fmt: skip
    return {"type": "metric", **_corner(place), "properties": properties}


def _corner(place: int) -> Json:
    """Where the widget with this number lies: two in a row."""
    return {"x": 12 * (place % 2), "y": 6 * (place // 2), "width": 12, "height": 6}


def _switch(text: str, usually: str = "on") -> Json:
    return {"Type": "String", "Default": usually, "AllowedValues": ["on", "off"], "Description": text}


def _skip(check: str, why: str) -> Json:
    return {"checkov": {"skip": [{"id": check, "comment": why}]}}
