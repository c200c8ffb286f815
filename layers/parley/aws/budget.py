"""The guard of the month's budget: instances counted in the table, the endpoint's most instances, a flag, a notice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from parley.aws.failures import condition_failed
from parley.domain.budget import Level
from parley.ports import Secrets

NO_ENDPOINT = "ValidationException"
"""What SageMaker answers for an endpoint that it does not find."""

FLAG = "guard"
FLAG_SECONDS = 300.0
"""How long a flag that was read is kept, by `secrets`."""

KEPT_SECONDS = 400 * 24 * 3600
"""How long a month's sum is kept: a year can be compared with the one before."""

WAKE_UPS, MOST_WAKE_UPS = "WAKE-UPS", 9
APART_SECONDS = 1800.0
"""Two wake-ups are at least so far apart: scale-in alone takes a quarter of an hour."""


class StackGuard:
    """`Guard` of one endpoint. `client` gives a boto3 client by its service's name."""

    def __init__(
        self,
        client: Callable[[str], Any],
        secrets: Secrets,
        clock: Callable[[], float],
        *,
        endpoint: str,
        table: str,
        secrets_path: str,
        most: int,
        topic: str,
        limited: bool,
    ) -> None:
        self._client = client
        self._secrets = secrets
        self._clock = clock
        self._endpoint = endpoint
        self._table = table
        self._flag = f"{secrets_path}/{FLAG}"
        self._most = most
        self._topic = topic
        self._limited = limited
        self._estimate: tuple[float, float | None] = (0.0, None)
        self._written: tuple[float, float] = (0.0, 0.0)

    def closed(self, now: float) -> bool:
        """Whether the model rests; what is known of it may be five minutes old."""
        return self._limited and now < self._until()

    def resting(self) -> bool:
        """Whether the flag is set, its time over or not."""
        return self._until() > 0

    def instances(self) -> int:
        """How many run now; none where there is no endpoint. Raises ClientError where AWS does not say."""
        try:
            described = self._client("sagemaker").describe_endpoint(EndpointName=self._endpoint)
        except ClientError as error:
            if error.response["Error"]["Code"] != NO_ENDPOINT:
                raise
            return 0
        return sum(variant.get("CurrentInstanceCount", 0) for variant in described.get("ProductionVariants") or [])

    def add(self, month: str, seconds: float) -> tuple[float, Level]:
        """The month's seconds with these added, and what its owner was told. A minute without any is not written."""
        if not seconds:
            item = self._client("dynamodb").get_item(TableName=self._table, Key=_key(month)).get("Item", {})
        else:
            item = self._update(month, "ADD seconds :n SET expires = if_not_exists(expires, :expires)", {
                ":n": {"N": repr(seconds)}, ":expires": {"N": repr(self._clock() + KEPT_SECONDS)},
            })  # fmt: skip
        return float(item.get("seconds", {"N": "0"})["N"]), Level(int(item.get("told", {"N": "0"})["N"]))

    def tell(self, month: str, level: Level, text: str) -> None:
        """Tell the owner, then note that it was told: a death between the two tells it twice."""
        if self._topic:
            self._client("sns").publish(TopicArn=self._topic, Subject=f"{self._endpoint}: budget", Message=text)
        self._update(month, "SET told = :level", {":level": {"N": str(int(level))}})

    def close(self, until: float) -> None:
        """No instance until then: first the flag, by which users hear of it, then the endpoint."""
        self._write(until)
        self._limit(0)

    def open(self) -> None:
        """As many instances as the stack allows: first the endpoint, then the flag."""
        self._limit(self._most)
        self._write(0)

    def woke(self, seconds: float, now: float) -> None:
        """Add it to the last ones, unless one was added within the half hour: all who waited come with the same."""
        client = self._client("dynamodb")
        try:
            item = client.update_item(
                TableName=self._table, Key=_key(WAKE_UPS), ReturnValues="ALL_NEW",
                UpdateExpression="SET woken = :now, recent = list_append(if_not_exists(recent, :none), :one)",
                ConditionExpression="attribute_not_exists(woken) OR woken < :before",
                ExpressionAttributeValues={
                    ":now": {"N": repr(now)}, ":before": {"N": repr(now - APART_SECONDS)},
                    ":none": {"L": []}, ":one": {"L": [{"N": repr(seconds)}]},
                },
            )["Attributes"]  # fmt: skip
        except ClientError as error:
            if not condition_failed(error):
                raise
            return
        if len(item["recent"]["L"]) > MOST_WAKE_UPS:
            client.update_item(TableName=self._table, Key=_key(WAKE_UPS), UpdateExpression="REMOVE recent[0]")

    def estimate(self) -> float | None:
        """The median of the last ones; read at most once a minute."""
        until, seconds = self._estimate
        if self._clock() >= until:
            item = self._client("dynamodb").get_item(TableName=self._table, Key=_key(WAKE_UPS)).get("Item", {})
            recent = sorted(float(entry["N"]) for entry in item.get("recent", {"L": []})["L"])
            seconds = recent[len(recent) // 2] if recent else None
            self._estimate = (self._clock() + 60, seconds)
        return seconds

    def _until(self) -> float:
        """What the flag says: as this process wrote it, for as long as it may still know it as it was before."""
        known_until, written = self._written
        if self._clock() < known_until:
            return written
        flag: Mapping[str, Any] = self._secrets.get(FLAG) or {}
        until = flag.get("until", 0)
        return float(until) if isinstance(until, int | float) and 0 <= until < 1e12 else 0.0

    def _write(self, until: float) -> None:
        value = json.dumps({"until": until})
        self._client("ssm").put_parameter(Name=self._flag, Value=value, Type="String", Overwrite=True)
        self._written = (self._clock() + FLAG_SECONDS, until)

    def _limit(self, most: int) -> None:
        self._client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker", ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            ResourceId=f"endpoint/{self._endpoint}/variant/main", MinCapacity=0, MaxCapacity=most,
        )  # fmt: skip

    def _update(self, month: str, expression: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._client("dynamodb").update_item(
            TableName=self._table, Key=_key(month), UpdateExpression=expression, ExpressionAttributeValues=dict(values),
            ReturnValues="ALL_NEW",
        )["Attributes"]  # fmt: skip
        return answer


def _key(month: str) -> dict[str, Any]:
    return {"pk": {"S": f"METER#{month}"}, "sk": {"S": "METER"}}
