"""What a hostile or unlucky client meets over real HTTP: the documented answer, and the next good request works."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from errors import InvalidRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol import ChatRequest, parse

from tests.inference.server import DEADLINE, Server, user
from tests.inference.tiny_model import save

GOOD = user("hi", max_tokens=1)
FIELDS = [
    "messages", "model", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "stop", "temperature",
    "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs",
    "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "response_format", "chat_template_kwargs", "user",
    "safety_identifier",
]  # fmt: skip

TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\ud83d", "auto", "required", "user", "tool", "<|im_end|>", "0", "-1", "\0", "json_schema", "f"]),
)
NUMBERS = st.one_of(
    st.integers(-3, 30),
    st.sampled_from([2**31, 2**63, 2**64 - 1, 2**64, 10**400, -(2**63), 1e308, float("nan"), float("inf"), 1e-320]),
    st.floats(),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(TEXTS, st.sampled_from(["type", "function", "name", "content", "role", "schema", "text"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.one_of(st.sampled_from(["user", "assistant", "tool", "system", "developer"]), ANYTHING)},
    optional={
        name: ANYTHING if name != "content" else st.one_of(TEXTS, ANYTHING)
        for name in ("content", "tool_calls", "tool_call_id", "name", "reasoning_content")
    },
)
CHANGES = st.dictionaries(st.sampled_from(FIELDS), ANYTHING, min_size=1, max_size=3)
BODIES = st.one_of(
    CHANGES.map(lambda changes: {**GOOD, **changes}),
    st.lists(MESSAGE, max_size=3).map(lambda messages: {**GOOD, "messages": messages}),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), ANYTHING.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_a_request_or_a_callers_error(raw: bytes) -> None:
    with contextlib.suppress(InvalidRequest):  # any other error fails the test
        assert isinstance(parse(raw), ChatRequest)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(BODIES)
def test_whatever_the_fields_hold_it_is_no_fault_of_the_server(server: Server, body: dict[str, Any]) -> None:
    # Short answers only: the fuzz is about what is read, not about computing.
    asked = {**body, "max_tokens": 1} if isinstance(body.get("max_tokens"), int) else body
    status, _, raw = send(server, json.dumps(asked).encode())
    assert status in (200, 400), raw
    if status == 400:
        assert set(json.loads(raw)["error"]) == {"message", "type", "param", "code"}
    else:
        assert b'"error"' not in raw


def send(server: Server, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and raw body over a socket of its own."""
    return asyncio.run(_send(server, body, path))


async def _send(server: Server, body: bytes, path: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection(*address(server))
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        raw = await asyncio.wait_for(reader.read(), 2 * DEADLINE)
    finally:
        writer.close()
    top, _, rest = raw.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, rest


def address(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY and hard < 4096 else 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_requests_at_once_are_answered_or_told_when_to_come_back(server: Server, many_files: None) -> None:
    async def crowd() -> list[tuple[int, dict[str, str], bytes]]:
        bodies = [json.dumps(user(f"Hello {i}", max_tokens=3)).encode() for i in range(1000)]
        return await asyncio.gather(*(_send(server, body, "/invocations") for body in bodies))

    results = asyncio.run(crowd())
    assert len(results) == 1000
    assert {status for status, _, _ in results} <= {200, 503}
    assert sum(status == 200 for status, _, _ in results) >= 64
    for status, headers, raw in results:
        if status == 503:
            assert json.loads(raw)["error"]["code"] == "queue_full"
            assert 1 <= int(headers["retry-after"]) <= 30
    assert server.post(GOOD)[0] == 200


@pytest.mark.parametrize("cut", [0, 40, 120, 300])
def test_a_request_that_breaks_off_while_it_is_sent_harms_nobody(server: Server, cut: int) -> None:
    body = json.dumps(user("Hi " * 200, max_tokens=2)).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(address(server), timeout=DEADLINE) as connection:
        connection.sendall((head + body)[:cut])
    assert server.post(GOOD)[0] == 200
    server.until("running", 0)


@pytest.mark.parametrize("events", range(0, 9, 2))
def test_a_stream_left_at_any_step_frees_its_rows(server: Server, tokenizer: Any, events: int) -> None:
    bias = {str(tokenizer.eos_token_id): -100}
    body = json.dumps(user("Hi", max_tokens=400, n=2, stream=True, logit_bias=bias, seed=events)).encode()
    with socket.create_connection(address(server), timeout=DEADLINE) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        heard = b""
        while heard.count(b"data: ") < events:
            heard += connection.recv(256)
    server.until("running", 0)
    server.until("queue", 0)
    assert server.post(GOOD)[0] == 200


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "input_audio"),
        ({"type": "file", "file": {"file_id": "x"}}, "file"),
    ],
)
def test_what_a_text_model_cannot_read_is_named(server: Server, part: dict[str, Any], kind: str) -> None:
    status, body, _ = server.post({"messages": [{"role": "user", "content": [part]}], "max_tokens": 1})
    assert (status, body["error"]["code"]) == (400, "unsupported_content")
    assert kind in body["error"]["message"]
    assert server.post(GOOD)[0] == 200


BROKEN = {
    "no_chat_template": None,
    "template_error": "{% for m in messages %}{% if m.content == 'divide' %}{{ 1 // 0 }}{% endif %}"
    "{% if m.content == 'missing' %}{{ m.nothing.at.all }}{% endif %}{{ m.content }}{% endfor %}",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_template_is_told_and_the_server_goes_on(tmp_path: Path, code: str) -> None:
    folder = save(tmp_path)
    template = folder / "chat_template.jinja"
    if BROKEN[code] is None:
        template.unlink()
    else:
        template.write_text(str(BROKEN[code]))
    with Server(["--model", str(folder), "--threads", "1"]) as server:
        for text in ("divide", "missing"):
            status, body, _ = server.post(user(text, max_tokens=1))
            assert (status, body["error"]["code"]) == (400, code), body
        assert server.get("/ping")[0] == 200
        assert server.post(user("hi", max_tokens=1))[0] == (400 if code == "no_chat_template" else 200)
