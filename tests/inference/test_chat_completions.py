"""Chat Completions over real HTTP: the official client, whole and streamed answers, and every documented error."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from tests.inference.engines import generate
from tests.inference.server import Server, user

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there"}]


def text_of(server: Server, **fields: Any) -> str:
    status, body, _ = server.post(user("Hello there", **{"max_tokens": 20, **fields}))
    assert status == 200, body
    return str(body["choices"][0]["message"]["content"])


def test_the_official_client_gets_an_answer(server: Server) -> None:
    answer = server.client().chat.completions.create(model="any", messages=HELLO, max_tokens=9)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert isinstance(answer.choices[0].message.content, str)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 9
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 9
    assert (answer.usage.model_extra or {})["compute_ms"] > 0


def test_an_answer_carries_its_length_and_what_was_dropped(server: Server) -> None:
    status, body, headers = server.post(user("Hi", max_tokens=2))
    assert status == 200
    assert int(headers["content-length"]) > 0
    assert headers["content-type"] == "application/json"
    assert body["parley"] == {"dropped_messages": 0}


def test_it_is_the_text_that_generate_gives(server: Server, model: Any, tokenizer: Any) -> None:
    prompt = tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    expected = tokenizer.decode(generate(model, ids, 20), skip_special_tokens=True)
    assert text_of(server) == expected.rstrip("\ufffd")


def test_a_streamed_answer_equals_the_whole_one(server: Server) -> None:
    client = server.client()
    chunks = list(
        client.chat.completions.create(
            model="any", messages=HELLO, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text_of(server)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20
    assert len({c.id for c in chunks}) == 1


def test_a_stream_ends_with_done_and_has_usage_only_when_asked(server: Server) -> None:
    raw = _raw(server, user("Hi", stream=True, max_tokens=3), "/invocations")
    events = [line for line in raw.split("\n") if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert all("usage" not in json.loads(event[6:]) for event in events[:-1])


def test_invocations_streams_as_the_official_client_expects(server: Server) -> None:
    client = server.client().with_options(base_url=server.url)
    body = user("Hello there", max_tokens=20, stream=True, stream_options={"include_usage": True})
    stream = client.post(
        "/invocations",
        body=body,
        cast_to=ChatCompletion,
        stream=True,
        stream_cls=openai.Stream[ChatCompletionChunk],
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text_of(server)
    assert [c.usage.completion_tokens for c in chunks if c.usage is not None] == [20]
    assert chunks[-1].choices == []


def test_several_choices_have_their_index(server: Server) -> None:
    answer = server.client().chat.completions.create(
        model="m", messages=HELLO, n=3, max_tokens=8, temperature=1.0, seed=3
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 24
    streamed: dict[int, str] = {}
    for chunk in server.client().chat.completions.create(
        model="m", messages=HELLO, n=3, max_tokens=8, temperature=1.0, seed=3, stream=True
    ):
        for part in chunk.choices:
            streamed[part.index] = streamed.get(part.index, "") + (part.delta.content or "")
    assert streamed == {choice.index: choice.message.content for choice in answer.choices}


def test_a_seed_gives_the_same_text_in_a_crowd(server: Server) -> None:
    wants = {"temperature": 1.0, "seed": 11, "top_p": 0.95}
    alone = text_of(server, **wants)
    with ThreadPoolExecutor(12) as pool:
        crowd = [pool.submit(text_of, server, **wants) for _ in range(4)]
        crowd += [pool.submit(text_of, server, temperature=1.5, seed=i, max_tokens=5 + i) for i in range(8)]
        assert {one.result() for one in crowd[:4]} == {alone}
    assert text_of(server, **{**wants, "seed": 12}) != alone


def test_a_stop_string_ends_the_text_before_it(server: Server) -> None:
    whole = text_of(server, max_tokens=40)
    stop = whole[5:8]
    status, body, _ = server.post(user("Hello there", max_tokens=40, stop=[stop]))
    assert status == 200
    assert body["choices"][0]["message"]["content"] == whole.split(stop)[0]
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] < 40
    raw = _raw(server, user("Hello there", max_tokens=40, stop=[stop], stream=True))
    chunks = [json.loads(line[6:]) for line in raw.split("\n") if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == whole.split(stop)[0]


def test_logit_bias_decides(server: Server, tokenizer: Any) -> None:
    token = tokenizer("z", add_special_tokens=False)["input_ids"][0]
    assert text_of(server, logit_bias={str(token): 100}, max_tokens=4) == "zzzz"
    end = {str(tokenizer.eos_token_id): 100}
    _, body, _ = server.post(user("Hi", logit_bias=end, max_tokens=4))
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["content"] == ""


def test_penalties_keep_it_from_repeating(server: Server, tokenizer: Any) -> None:
    token = str(tokenizer("z", add_special_tokens=False)["input_ids"][0])
    text = text_of(server, logit_bias={token: 12}, max_tokens=20, frequency_penalty=2.0)
    assert text.count("z") < 20


def test_logprobs_of_every_token(server: Server) -> None:
    for stream in (False, True):
        fields: dict[str, Any] = {"max_tokens": 6, "logprobs": True, "top_logprobs": 2}
        if stream:
            raw = _raw(server, user("Hi", stream=True, **fields))
            chunks = [json.loads(line[6:]) for line in raw.split("\n") if line.startswith("data: {")]
            found = [c["choices"][0]["logprobs"] for c in chunks]
            content = [entry for one in found if one for entry in one["content"]]
        else:
            content = server.post(user("Hi", **fields))[1]["choices"][0]["logprobs"]["content"]
        assert len(content) == 6
        assert all(len(entry["top_logprobs"]) == 2 for entry in content)
        assert all(entry["logprob"] == entry["top_logprobs"][0]["logprob"] for entry in content)
        assert all(isinstance(byte, int) for entry in content for byte in entry["bytes"])


def test_a_long_history_is_fitted_and_what_was_dropped_is_told(server: Server) -> None:
    turns = [{"role": role, "content": f"{role} says {i}"} for i in range(60) for role in ("user", "assistant")]
    messages = [{"role": "system", "content": "be kind"}, *turns, {"role": "user", "content": "and now?"}]
    status, body, _ = server.post({"messages": messages, "max_tokens": 4})
    assert status == 200
    assert body["parley"]["dropped_messages"] > 50
    assert body["usage"]["prompt_tokens"] <= 508


def test_a_message_too_long_for_the_window_gives_limit_and_length(server: Server) -> None:
    status, body, _ = server.post(user("word " * 2000, max_tokens=4))
    assert status == 400
    assert body["error"]["code"] == "context_length_exceeded"
    assert "508" in body["error"]["message"]


def test_a_conversation_that_comes_back_is_not_computed_again(server: Server) -> None:
    first = user("Remember this sentence, it comes back in a moment, and it is long enough to matter.", max_tokens=4)
    server.post(first)
    again = server.post(first)[1]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 20


GOOD = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "user", "content": "refuse me"}]}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 1000}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 50}, "top_logprobs"),
        ({"presence_penalty": 9}, "presence_penalty"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "nope"}}}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"user": 5}, "user"),
    ],
)
def test_a_wrong_field_is_named_and_the_next_request_works(server: Server, change: dict[str, Any], param: str) -> None:
    status, body, headers = server.post({**GOOD, **change})
    assert status == 400, body
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["param"] == param
    assert "content-length" in headers
    assert server.post(GOOD)[0] == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * 99])
def test_a_body_that_is_no_json_object_is_refused(server: Server, raw: bytes) -> None:
    status, body, _ = server.post(raw)
    assert status == 400
    assert body["error"]["code"] == "invalid_json"
    assert server.post(GOOD)[0] == 200


def test_deep_nesting_is_refused(server: Server) -> None:
    deep = b'{"a":' * 700 + b"1" + b"}" * 700
    for field in (
        b'"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]',
        b'"chat_template_kwargs":%s',
    ):
        body = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":1,' + field % deep + b"}"
        assert server.post(body)[0] in (200, 400)
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": deep.decode()}}
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}]
    assert server.post({"messages": messages, "max_tokens": 1})[0] in (200, 400)
    schema = b'"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":%s}}' % deep
    assert server.post(b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":1,' + schema + b"}")[0] in (200, 400)
    assert server.post(GOOD)[0] == 200


def test_unknown_fields_are_tolerated(server: Server) -> None:
    assert server.post({**GOOD, "store": True, "metadata": {"a": "b"}, "anything": [1]})[0] == 200


def test_null_fields_count_as_not_given(server: Server) -> None:
    names = ["temperature", "top_p", "n", "stop", "tools", "seed", "logit_bias", "response_format", "user"]
    assert server.post({**GOOD, **dict.fromkeys(names)})[0] == 200


def test_a_lone_surrogate_is_answered(server: Server) -> None:
    raw = b'{"messages":[{"role":"user","content":"half \\ud83d emoji"}],"max_tokens":2}'
    assert server.post(raw)[0] in (200, 400)
    assert server.post(GOOD)[0] == 200


def test_parts_and_roles_of_newer_clients_are_read(server: Server) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [_call("x")]},
        {"role": "tool", "tool_call_id": "1", "content": "result"},
        {"role": "user", "content": "go on"},
    ]
    assert server.post({"messages": messages, "max_tokens": 1})[0] == 200


def _call(name: str) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": '{"a": 1}'}}


def test_a_body_over_the_limit_is_refused_unread(server: Server) -> None:
    status, body, _ = server.post(b"x" * ((8 << 20) + 1))
    assert status == 413
    assert body["error"]["code"] == "request_too_large"
    assert server.post(GOOD)[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/invocations", 405)])
def test_other_paths_and_methods_answer_in_the_same_shape(server: Server, method: str, path: str, status: int) -> None:
    found, body, _ = server.request(Request(server.url + path, method=method))
    assert found == status
    assert path in body["error"]["message"]


def test_the_official_client_raises_its_own_errors(server: Server) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        server.client().chat.completions.create(model="m", messages=HELLO, temperature=9)
    assert caught.value.param == "temperature"


def test_the_list_of_models(server: Server) -> None:
    assert [found.object for found in server.client().models.list().data] == ["model"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invocations"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_slot(server: Server, tokenizer: Any, stream: bool, path: str) -> None:
    never_end = {str(tokenizer.eos_token_id): -100}
    body = json.dumps(user("Hi", max_tokens=450, n=4, stream=stream, logit_bias=never_end)).encode()
    before = server.gauge("generated_tokens_total")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        server.until_at_least("running", 1)
    server.until("running", 0)
    assert server.gauge("generated_tokens_total") - before < 4 * 450


def test_a_crowd_is_answered_or_told_to_come_back(server: Server) -> None:
    with ThreadPoolExecutor(150) as pool:
        results = list(pool.map(lambda i: server.post(user(f"Hello {i}", max_tokens=6)), range(300)))
    assert {status for status, _, _ in results} <= {200, 503}
    assert sum(status == 200 for status, _, _ in results) >= 64
    for status, body, headers in results:
        if status == 503:
            assert body["error"]["code"] == "queue_full"
            assert int(headers["retry-after"]) >= 1
    assert server.post(GOOD)[0] == 200


def test_metrics_count_what_happened(server: Server) -> None:
    before = {name: server.gauge(name) for name in ("prompt_tokens_total", "generated_tokens_total")}
    usage = server.post(user("Count me", max_tokens=5))[1]["usage"]
    assert server.gauge("prompt_tokens_total") - before["prompt_tokens_total"] == usage["prompt_tokens"]
    assert server.gauge("generated_tokens_total") - before["generated_tokens_total"] == 5
    text = server.get("/metrics")[1]
    for name in ("queue", "running", "time_to_first_token_seconds_count", "time_per_token_seconds_sum"):
        assert f"\nparley_{name} " in text


def _raw(server: Server, body: dict[str, Any], path: str = "/v1/chat/completions") -> str:
    from tests.inference.server import DEADLINE, DIRECT

    request = Request(server.url + path, json.dumps(body).encode(), method="POST")
    with DIRECT.open(request, timeout=DEADLINE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return str(answer.read().decode())
