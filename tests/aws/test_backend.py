"""The asynchronous endpoint's adapter: what it sends, and how it reads what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.backends.completion import MAX_TEXT_CHARACTERS, read_completion
from parley.backends.sagemaker_async import INLINE_BYTES, SagemakerAsync
from parley.domain.turn import Ask, ModelReply
from parley.errors import UnreadableRecord
from scripts.local.stand_in.endpoint import Bucket

ASK = Ask("slack:T:C/1.0", 3, 1, 2, "trace")
COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "details": {}},
    "parley": {"dropped_messages": 4},
}


class Recorder:
    """The clients; keeps what it was asked."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.invoked: list[dict[str, Any]] = []
        self.instances = 0
        self.described = 0

    def __call__(self, service: str) -> Any:
        return self.bucket if service == "s3" else self

    def invoke_endpoint_async(self, **request: Any) -> None:
        self.invoked.append(request)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        self.described += 1
        return {"ProductionVariants": [{"CurrentInstanceCount": self.instances}]}


@pytest.fixture
def clients() -> Recorder:
    return Recorder()


@pytest.fixture
def backend(clients: Recorder) -> SagemakerAsync:
    return SagemakerAsync(clients, "parley", "bucket", lambda: 0.0, 1800)


def told(backend: SagemakerAsync, clients: Recorder, **fields: Any) -> str:
    """A notification about ASK, as SageMaker writes it."""
    backend.ask(ASK, {"messages": []})
    parameters = {"endpointName": "parley", "customAttributes": clients.invoked[-1]["CustomAttributes"]}
    return json.dumps({"invocationStatus": "Completed", "inferenceId": "i", "requestParameters": parameters, **fields})


def content(value: Any) -> dict[str, Any]:
    return {"content": base64.b64encode(json.dumps(value).encode()).decode(), "encoding": "BASE64"}


def test_a_small_request_travels_inline(backend: SagemakerAsync, clients: Recorder) -> None:
    backend.ask(ASK, {"messages": [{"role": "user", "content": "你好 \ud800"}]})
    sent = clients.invoked[0]
    assert json.loads(sent["Body"])["messages"][0]["content"] == "你好 ?"
    assert "InputLocation" not in sent
    assert sent["InferenceId"] == ASK.inference_id
    assert len(sent["CustomAttributes"]) <= 1024
    assert sent["CustomAttributes"].isascii()


def test_a_request_over_the_inline_limit_goes_through_the_bucket(backend: SagemakerAsync, clients: Recorder) -> None:
    around = len(json.dumps({"messages": [{"role": "user", "content": ""}]}, separators=(",", ":")))
    for size, inline in ((INLINE_BYTES - around, True), (INLINE_BYTES - around + 1, False)):
        backend.ask(ASK, {"messages": [{"role": "user", "content": "x" * size}]})
        assert ("Body" in clients.invoked[-1]) is inline
    assert clients.invoked[-1]["InputLocation"].startswith("s3://bucket/model/in/")


def test_a_completed_notification_is_the_answer(backend: SagemakerAsync, clients: Recorder) -> None:
    ask, reply = backend.read(told(backend, clients, responseBody=content(COMPLETION)))
    assert ask == ASK
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    assert reply == ModelReply("hi", "length", usage, dropped=4)


def test_a_notification_in_snss_own_envelope_is_read_alike(backend: SagemakerAsync, clients: Recorder) -> None:
    raw = told(backend, clients, responseBody=content(COMPLETION))
    assert backend.read(json.dumps({"Type": "Notification", "Message": raw})) == backend.read(raw)


def test_a_large_result_is_fetched_from_our_bucket_and_no_other(backend: SagemakerAsync, clients: Recorder) -> None:
    clients.bucket.put_object(Bucket="bucket", Key="model/out/x.out", Body=json.dumps(COMPLETION).encode())
    ours = told(backend, clients, responseParameters={"outputLocation": "s3://bucket/model/out/x.out"})
    assert backend.read(ours)[1].text == "hi"
    for location in ("s3://other/model/out/x.out", "s3://bucket/private/x", "https://bucket/model/out/x.out", ""):
        with pytest.raises(UnreadableRecord):
            backend.read(told(backend, clients, responseParameters={"outputLocation": location}))


@pytest.mark.parametrize(
    ("fields", "permanent"),
    [
        (
            {"invocationStatus": "Failed", "failureReason": "ClientError: Received server error (500) from model."},
            False,
        ),
        ({"invocationStatus": "Failed", "failureReason": "ClientError: Received client error (400) from model."}, True),
        (
            {"invocationStatus": "Failed", "failureReason": "ClientError: Received client error (429) from model."},
            False,
        ),
        ({"invocationStatus": "Failed"}, False),
        ({"invocationStatus": "Expired"}, False),
        ({"invocationStatus": "SomethingNew"}, False),
    ],
)
def test_a_failure_says_whether_to_try_again(
    backend: SagemakerAsync, clients: Recorder, fields: dict[str, Any], permanent: bool
) -> None:
    reply = backend.read(told(backend, clients, **fields))[1]
    assert reply.error
    assert reply.permanent is permanent


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"requestParameters": 5}', "[" * 100_000])
def test_a_notification_that_is_none_of_ours_is_refused(backend: SagemakerAsync, text: str) -> None:
    with pytest.raises(UnreadableRecord):
        backend.read(text)


NAMES = st.sampled_from(["requestParameters", "customAttributes", "responseBody", "content", "invocationStatus", "c"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda v: st.lists(v) | st.dictionaries(NAMES, v), max_leaves=20))
def test_no_notification_breaks_the_reader(value: Any) -> None:
    backend = SagemakerAsync(Recorder(), "parley", "bucket", lambda: 0.0, 1800)
    with pytest.raises(UnreadableRecord):
        backend.read(json.dumps(value))


def test_a_result_that_nobody_told_of_is_found_under_its_own_name_only(
    backend: SagemakerAsync, clients: Recorder
) -> None:
    assert backend.result(ASK) is None
    clients.bucket.put_object(Bucket="bucket", Key=f"model/fail/{ASK.path}/e.out", Body=b"x")
    failed = backend.result(ASK)
    assert failed is not None
    assert failed.error
    clients.bucket.put_object(Bucket="bucket", Key=f"model/out/{ASK.path}/y.out", Body=json.dumps(COMPLETION).encode())
    found = backend.result(ASK)
    assert found is not None
    assert found.text == "hi"
    assert backend.result(Ask(ASK.conversation, 3, 1, 20, "t")) is None


def test_whether_the_model_is_awake_is_asked_now_and_then(clients: Recorder) -> None:
    now = [0.0]
    backend = SagemakerAsync(clients, "parley", "bucket", lambda: now[0], 1800)
    assert backend.awake() is False
    clients.instances = 1
    assert backend.awake() is False
    now[0] = 11.0
    assert backend.awake() is True
    assert clients.described == 2


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_of_a_model_are_a_reply(payload: bytes) -> None:
    assert read_completion(payload).error


@pytest.mark.parametrize(
    "value",
    [[], {}, {"choices": []}, {"choices": [{"message": {}}]}, {"choices": [{"message": {"content": 5}}]},
     {"choices": [{"message": {"content": " \n"}}]}, {"choices": "x"}, {"choices": [None]}],
)  # fmt: skip
def test_a_completion_without_text_is_an_error(value: Any) -> None:
    assert read_completion(json.dumps(value).encode()).error


def test_an_answers_text_is_made_storable() -> None:
    reply = read_completion(b'{"choices":[{"message":{"content":"a\\u0000b\\ud800c"}}],"usage":"x","parley":[]}')
    assert reply == ModelReply("ab?c")
    long = read_completion(json.dumps({"choices": [{"message": {"content": "x" * 10**6}}]}).encode())
    assert len(long.text) == MAX_TEXT_CHARACTERS
