"""What a caller gets for a request that cannot be served: OpenAI's shapes, before anything is stored."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.http.conftest import HeldModel

KEY = {"Authorization": "Bearer key-a"}


def test_a_missing_or_wrong_key_is_401(url: str, http: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic key-a"}, {"Authorization": "key-a"}):
        for method, path in (
            ("POST", "/v1/responses"), ("POST", "/v1/chat/completions"), ("GET", "/v1/models"),
            ("GET", "/v1/responses/resp_x"), ("DELETE", "/v1/responses/resp_x"),
            ("POST", "/v1/responses/resp_x/cancel"), ("POST", "/v1/responses/resp_x/feedback"),
        ):  # fmt: skip
            answer = http.request(method, path, headers=headers, json={"input": "x"} if method == "POST" else None)
            assert answer.status_code == 401, path
            assert answer.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).responses.create(input="x")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": "  "}, "input"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "temperature": 3}, "temperature"),
        ({"input": "x", "temperature": True}, "temperature"),
        ({"input": "x", "top_p": -1}, "top_p"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "max_output_tokens": 1.5}, "max_output_tokens"),
        ({"input": "x", "background": "yes"}, "background"),
        ({"input": "x", "metadata": {"a": 1}}, "metadata"),
        ({"input": "x", "metadata": {str(i): "" for i in range(17)}}, "metadata"),
        ({"input": "x", "metadata": {"": "no table takes a member without a name"}}, "metadata"),
        ({"input": "x", "metadata": {"\x00": "nor this, which is none once it is clean"}}, "metadata"),
        ({"input": "x", "instructions": 5}, "instructions"),
        ({"input": "x", "stream": True}, "stream"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools"),
        ({"input": "x", "previous_response_id": 5}, "previous_response_id"),
        ({"input": "x", "previous_response_id": "resp_none"}, "previous_response_id"),
        ({"input": "x", "previous_response_id": "r", "conversation": "c"}, "previous_response_id"),
        ({"input": "x", "conversation": "no spaces"}, "conversation"),
        ({"input": "x", "conversation": {}}, "conversation"),
        ({"input": "x" * 32_001}, "input"),
        ({"input": "x", "frobnicate": 1}, "frobnicate"),
    ],
)
def test_a_bad_field_of_responses_is_named(http: httpx.Client, parts: StandInWiring, body: Any, param: str) -> None:
    answer = http.post("/v1/responses", json=body, headers=KEY)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert parts.sqs.size("inbox.fifo") == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "messages[0].content"),
        ({"model": None}, "model"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"stop": [""]}, "stop"),
        ({"stop": "\x00"}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": -1, "max_completion_tokens": 5}, "max_tokens"),
        ({"n": True}, "n"),
        ({"presence_penalty": 9}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_bad_field_of_chat_completions_is_named(http: httpx.Client, change: Any, param: str) -> None:
    body = {"model": "default", "messages": [{"role": "user", "content": "x"}], **change}
    answer = http.post("/v1/chat/completions", json=body, headers=KEY)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 50_000])
def test_a_body_that_is_no_json_object_is_400(http: httpx.Client, body: bytes) -> None:
    for path in ("/v1/responses", "/v1/chat/completions"):
        answer = http.post(path, content=body, headers={**KEY, "Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_over_the_limit_is_413(http: httpx.Client) -> None:
    body = json.dumps({"input": "x", "metadata": {"a": "y" * 300_000}})
    answer = http.post("/v1/responses", content=body, headers={**KEY, "Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_an_unknown_model_is_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="gpt-9", input="x")
    assert missing.value.code == "model_not_found"


def test_over_the_limit_is_429_with_the_time_to_wait(model: HeldModel) -> None:
    with StandInRuntime(StandInWiring(model, allowance=2)) as runtime:
        client = OpenAI(base_url=f"{runtime.url}/v1", api_key="key-a", max_retries=0)
        for _ in range(2):
            client.responses.create(input="x", background=True)
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(input="x", background=True)
        assert int(limited.value.response.headers["Retry-After"]) > 0
        client.models.list()  # reading is not limited


def test_a_bug_is_a_plain_500_without_its_text(http: httpx.Client, parts: StandInWiring) -> None:
    def broken(record: Any) -> None:
        raise RuntimeError("secret detail")

    parts.inbox.put = broken  # type: ignore[method-assign]
    answer = http.post("/v1/responses", json={"input": "x"}, headers=KEY)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
