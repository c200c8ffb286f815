"""The model on a SageMaker asynchronous endpoint: requests go in by API, results come back by SNS, or lie in S3.

Sources: botocore's model of InvokeEndpointAsync; AWS's notification payloads as seen in the field, where everything
but `inferenceId` and `invocationStatus` is treated as optional.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from parley.backends.completion import clean, read_completion
from parley.domain.turn import Ask, ModelReply
from parley.errors import UnreadableRecord

INLINE_BYTES = 128_000
"""Largest request that InvokeEndpointAsync takes in its Body."""

RESULT_BYTES = 4_000_000
"""Largest result that is read; the answer in it is cut far below that."""

OUT, FAILED, IN = "model/out", "model/fail", "model/in"
AWAKE_SECONDS = 10.0
"""How old the knowledge of the endpoint's instances may be."""

_CLIENT_ERROR = re.compile(r"\(4(?!08|29)\d\d\)")


class SagemakerAsync:
    """`Backend` on one endpoint, whose output goes below `model/` in `bucket`.

    `client` gives a boto3 client by its service's name: most functions need one of the three. `answer_seconds` is
    how long a request may take, waiting included.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        endpoint: str,
        bucket: str,
        clock: Callable[[], float],
        answer_seconds: float,
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._bucket = bucket
        self._clock = clock
        self._ttl = int(min(21_600, max(60, answer_seconds)))
        self._awake = (0.0, False)

    def ask(self, ask: Ask, request: Mapping[str, Any]) -> None:
        """Send the request along, or lay it into the bucket when it is too large for that."""
        text = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
        payload = text.encode(errors="replace")
        if len(payload) <= INLINE_BYTES:
            source: dict[str, Any] = {"Body": payload}
        else:
            place = f"{IN}/{ask.path}.json"
            self._client("s3").put_object(Bucket=self._bucket, Key=place, Body=payload, ContentType="application/json")
            source = {"InputLocation": f"s3://{self._bucket}/{place}"}
        self._client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=self._endpoint,
            ContentType="application/json",
            Accept="application/json",
            InferenceId=ask.inference_id,
            CustomAttributes=_write_attributes(ask),
            S3OutputPathExtension=ask.path,
            RequestTTLSeconds=self._ttl,
            **source,
        )

    def read(self, notification: str) -> tuple[Ask, ModelReply]:
        """Which call ended, and how; a result that did not fit into the notification is fetched."""
        fields = _read_notification(notification)
        ask = _read_attributes(fields)
        if fields.get("invocationStatus") != "Completed":
            reason = clean(str(fields.get("failureReason") or fields.get("invocationStatus") or "unknown"))[:300]
            return ask, ModelReply(error=reason, permanent=bool(_CLIENT_ERROR.search(reason)))
        response = _member(fields, "responseParameters")
        content = _member(fields, "responseBody").get("content")
        if isinstance(content, str):
            try:
                payload = base64.b64decode(content, validate=True)
            except (binascii.Error, ValueError):
                return ask, ModelReply(error="the notification's content is no Base64")
        else:
            try:
                payload = self._fetch(str(response.get("outputLocation", "")))
            except ClientError as error:
                if not 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 429:
                    raise  # S3 may do better next time
                return ask, ModelReply(error=f"the result cannot be fetched: {error.response['Error']['Code']}")
        return ask, replace(read_completion(payload), seconds=_took(fields))

    def result(self, ask: Ask) -> ModelReply | None:
        """What lies in the bucket under the call's path. The exact key is SageMaker's choice, so it is listed."""
        for prefix in (OUT, FAILED):
            found = self._client("s3").list_objects_v2(Bucket=self._bucket, Prefix=f"{prefix}/{ask.path}", MaxKeys=1)
            for entry in found.get("Contents", []):
                if prefix == FAILED:
                    return ModelReply(error="the model failed, and the notification was lost")
                return read_completion(self._fetch(f"s3://{self._bucket}/{entry['Key']}"))
        return None

    def awake(self) -> bool:
        """Whether the endpoint has an instance; asked at most once in AWAKE_SECONDS."""
        until, awake = self._awake
        if self._clock() >= until:
            described = self._client("sagemaker").describe_endpoint(EndpointName=self._endpoint)
            variants = described.get("ProductionVariants") or [{}]
            awake = any(variant.get("CurrentInstanceCount", 0) > 0 for variant in variants)
            self._awake = (self._clock() + AWAKE_SECONDS, awake)
        return awake

    def _fetch(self, location: str) -> bytes:
        """The bytes at an address in our own bucket; a notification may not send us anywhere else."""
        prefix = f"s3://{self._bucket}/model/"
        if not location.startswith(prefix):
            raise UnreadableRecord("a notification whose output lies outside this deployment's bucket")
        place = location.removeprefix(f"s3://{self._bucket}/")
        body = self._client("s3").get_object(Bucket=self._bucket, Key=place)["Body"]
        content: bytes = body.read(RESULT_BYTES)
        return content


def asked(notification: str) -> Ask:
    """Which call a notification tells of. Raises UnreadableRecord."""
    return _read_attributes(_read_notification(notification))


def _write_attributes(ask: Ask) -> str:
    """The call's coordinates, which come back in the notification; at most 1,024 visible ASCII characters."""
    fields = {"c": ask.conversation, "t": ask.turn, "s": ask.step, "a": ask.attempt, "x": ask.trace}
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


def _read_attributes(fields: Mapping[str, Any]) -> Ask:
    try:
        read = json.loads(_member(fields, "requestParameters")["customAttributes"])
        conversation, trace = read["c"], read["x"]
        numbers = [read[name] for name in ("t", "s", "a")]
        ours = clean(conversation) == conversation and clean(trace) == trace
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        ours = False
    # type(), because true is an int; ten digits, because sort keys have no more.
    if not ours or not all(type(number) is int and 0 < number < 10**10 for number in numbers):
        raise UnreadableRecord("a notification without the attributes of one of our calls")
    turn, step, attempt = numbers
    return Ask(conversation, turn, step, attempt, trace)


def _read_notification(text: str) -> Mapping[str, Any]:
    """The notification's fields, whether SNS delivered it raw or in its own envelope."""
    try:
        fields = json.loads(text)
        if isinstance(fields, dict) and isinstance(fields.get("Message"), str):
            fields = json.loads(fields["Message"])
    except (ValueError, RecursionError) as error:
        raise UnreadableRecord(f"a notification that is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UnreadableRecord("a notification that is no JSON object")
    return fields


def _took(fields: Mapping[str, Any]) -> float:
    """Seconds from the request's arrival to its end; 0 where the notification does not say."""
    try:
        begun, ended = (datetime.fromisoformat(str(fields[name])) for name in ("receivedTime", "eventTime"))
        return max(0.0, (ended - begun).total_seconds())
    except (ValueError, LookupError, TypeError):
        return 0.0


def _member(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}
