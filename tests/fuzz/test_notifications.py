"""Notifications of the model's endpoint and what lies in S3: whatever they say, one record fails alone at most."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parley.aws import items
from parley.backends.sagemaker_async import SagemakerAsync
from parley.errors import UnreadableRecord
from scripts.local.endpoint_notifications import notification
from scripts.local.stand_in.endpoint import job_of
from tests.channels.hostile_json import ANYTHING, damaged
from tests.fuzz.bodies import BYTES, TEXTS, grown
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Front
from tests.fuzz.talks import ANSWER, Talk

GOOD: dict[str, Any] = {
    "awsRegion": "us-east-1", "eventTime": "2026-01-01T00:00:05.000Z", "receivedTime": "2026-01-01T00:00:00.000Z",
    "invocationStatus": "Completed", "inferenceId": "i", "eventName": "InferenceResult",
    "requestParameters": {"customAttributes": '{"c":"slack:T1:C1","t":1,"s":1,"a":1,"x":"t"}', "endpointName": "p"},
    "responseParameters": {"outputLocation": "s3://bucket/model/out/x.out"},
}  # fmt: skip
TIMES = TEXTS | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "2026-01-01T00:00:00Z"]
)


@st.composite
def spoilt(draw: st.DrawFn, good: dict[str, Any]) -> str:
    """A notification of which something is not as SageMaker writes it."""
    change = draw(st.sampled_from(["fields", "one", "grown", "attributes", "times", "reason", "content", "envelope"]))
    parameters = good["requestParameters"]
    attributes = json.loads(parameters["customAttributes"])
    if change == "fields":
        return json.dumps(draw(damaged(good) | ANYTHING))
    if change == "grown":
        return draw(grown(good)).decode()
    if change == "attributes":
        broken = draw(damaged(attributes).map(json.dumps) | grown(attributes).map(bytes.decode) | TEXTS)
        good = {**good, "requestParameters": {**parameters, "customAttributes": broken}}
    if change == "one":
        name = draw(st.sampled_from(sorted(attributes)))
        broken = json.dumps({**attributes, name: draw(ANYTHING | st.sampled_from([1e999, 10**400, -1, 1.5, True]))})
        good = {**good, "requestParameters": {**parameters, "customAttributes": broken}}
    if change == "times":
        good = {**good, "eventTime": draw(TIMES), "receivedTime": draw(TIMES)}
    if change == "reason":
        good = {**good, "invocationStatus": draw(TEXTS | st.just("Failed")), "failureReason": draw(TEXTS | ANYTHING)}
    if change == "content":
        content = draw(TEXTS | BYTES.map(lambda raw: base64.b64encode(raw).decode()) | ANYTHING)
        good = {**good, "responseBody": {"content": content}}
    if change == "envelope":
        good = {"Type": "Notification", "Message": draw(TEXTS | st.just(json.dumps(good)))}
    return json.dumps(good)


@bounded(100)
@given(st.data())
def test_a_notification_harms_no_conversation(front: Front, data: st.DataObject) -> None:
    talk = Talk(front)
    payload = json.dumps(ANSWER).encode()
    good = json.loads(notification(job_of(talk.call), "us-east-1", "Completed", content=payload))
    before = front.telemetry.counts.copy()
    letters = front.waiting("replies-dead")
    front.put("replies", data.draw(spoilt(good)))
    _, failed = front.run("reply")
    assert bool((front.telemetry.counts - before)["RecordsFailed"]) == bool(failed)
    assert front.waiting("replies-dead") <= letters + failed
    front.run("deliver")
    talk.goes_on()


class EveryPlace:
    """S3 with the same object everywhere."""

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(json.dumps(ANSWER).encode())}


@bounded(100)
@given(spoilt(GOOD))
def test_a_notification_is_read_or_unreadable(text: str) -> None:
    """No other error, so that the log names what is wrong; and what is read can be looked up and stored."""
    backend = SagemakerAsync(lambda service: EveryPlace(), "parley", "bucket", time.time, 1800)
    try:
        ask, reply = backend.read(text)
    except UnreadableRecord:
        return
    assert len(items.turn_key(ask.turn)) == len(items.turn_key(1))
    for text in (ask.path, ask.inference_id, ask.conversation, ask.trace, reply.text, reply.error or "", reply.finish):
        text.encode()
    assert 0 <= reply.seconds < 1e12


@bounded(60)
@given(
    TEXTS | st.sampled_from(["s3://bucket/model/", "s3://other/model/x", "file:///etc/passwd", "http://169.254.0.1"])
)
def test_a_notification_sends_us_nowhere_but_to_our_own_results(front: Front, location: str) -> None:
    talk = Talk(front)
    text = notification(job_of(talk.call), "us-east-1", "Completed", content=b"x" * 200_000, output_location=location)
    front.put("replies", text)
    outside = not location.startswith("s3://bucket/model/")
    assert front.run("reply") == (1, int(outside)), "what is not there in our own bucket is a failed attempt"
    talk.goes_on()
