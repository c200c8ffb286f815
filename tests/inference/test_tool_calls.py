"""Tool calls: read from a model's text in each dialect, whole or in pieces, and demanded through a grammar."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from structure import Grammars
from tool_calls import BARE, HERMES, MISTRAL, CallReader, Dialect, dialect_of

from tests.inference.server import Server
from tests.inference.tiny_model import TEXTS, make_tokenizer

NAMES = frozenset({"weather", "ping"})
CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'


def read(dialect: Dialect, pieces: list[str]) -> tuple[str, list[tuple[str, Any]]]:
    """What is said, and the calls as (name, arguments)."""
    reader = CallReader(dialect, NAMES)
    said = "".join(reader.push(piece) for piece in pieces)
    rest, calls = reader.finish()
    return said + rest, [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]


PARIS = ("weather", {"city": "Paris"})


@pytest.mark.parametrize(
    ("dialect", "text", "said", "calls"),
    [
        (HERMES, f"<tool_call>\n{CALL}\n</tool_call>", "", [PARIS]),
        (HERMES, f"Let me see. <tool_call>{CALL}</tool_call>", "Let me see. ", [PARIS]),
        (HERMES, f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", "", [PARIS, PARIS]),
        (HERMES, f"<tool_call>{CALL}", "", [PARIS]),
        (HERMES, '<tool_call>{"name": "ping"}</tool_call>', "", [("ping", {})]),
        (HERMES, "<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
        (HERMES, '<tool_call>{"name": "rm"}</tool_call>', '<tool_call>{"name": "rm"}</tool_call>', []),
        (HERMES, "a < b and <tool> is none", "a < b and <tool> is none", []),
        (MISTRAL, f"[TOOL_CALLS] [{CALL}, {CALL}]", "", [PARIS, PARIS]),
        (BARE, '{"name": "weather", "parameters": {"city": "Paris"}}', "", [PARIS]),
        (BARE, '{"answer": 5}', '{"answer": 5}', []),
        (BARE, "It is {good}.", "It is {good}.", []),
        (BARE, "", "", []),
    ],
)
def test_calls_are_told_from_text(dialect: Dialect, text: str, said: str, calls: list[tuple[str, Any]]) -> None:
    assert read(dialect, [text]) == (said, calls)
    assert read(dialect, list(text)) == (said, calls)


@given(text=st.text("<tool_cal>x{", max_size=30), cut=st.integers(0, 30))
def test_text_without_a_call_comes_through_unchanged(text: str, cut: int) -> None:
    assert read(HERMES, [text[:cut], text[cut:]]) == (text, [])


@pytest.mark.parametrize(
    ("template", "dialect"), [("... <tool_call> ...", HERMES), ("[TOOL_CALLS]", MISTRAL), ("{{ messages }}", BARE)]
)
def test_the_template_tells_the_dialect(template: str, dialect: Dialect) -> None:
    assert dialect_of(template) is dialect


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"enum": ["Paris", "Rome"]},
                "days": {"type": "integer", "maximum": 9, "minimum": 1},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
STRICT = {
    "type": "function",
    "function": {
        "name": "ping",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "pattern": "^[a-c]{2}$"}},
            "required": ["code"],
            "additionalProperties": False,
        },
    },
}
PING = {"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "maxProperties": 0}}}


def request(choice: Any, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "How is the weather?"}]
    wants = {"temperature": 1.0, "max_tokens": 200, "parallel_tool_calls": False}
    return {"messages": messages, "tools": [WEATHER, PING], "tool_choice": choice, **wants, **more}


@pytest.mark.parametrize("seed", range(4))
def test_a_demanded_call_is_made_whatever_the_model_would_say(server: Server, seed: int) -> None:
    status, body, _ = server.post(request("required", seed=seed))
    assert status == 200, body
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] in NAMES
    json.loads(call["function"]["arguments"])


def test_a_named_function_is_called_and_streamed_the_same(server: Server) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    whole = server.post(request(named, seed=1))[1]["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(whole["arguments"])["city"] in ("Paris", "Rome")
    asked = request(named, seed=1)
    messages = asked.pop("messages")
    stream: Any = server.client().chat.completions.create(model="m", messages=messages, stream=True, **asked)
    parts = [chunk.choices[0] for chunk in stream]
    (call,) = [call for part in parts for call in part.delta.tool_calls or []]
    assert (call.index, call.function.name, call.function.arguments) == (0, whole["name"], whole["arguments"])
    assert "".join(part.delta.content or "" for part in parts) == ""
    assert parts[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("dialect", [HERMES, MISTRAL, BARE])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_demanded_call_keeps_to_its_schema_in_each_dialect(
    tokenizer: Any, dialect: Dialect, several: bool, seed: int
) -> None:
    """A model that chooses at random among what the grammar allows; its text is read back whole and in pieces."""
    grammars = Grammars(tokenizer, len(tokenizer), frozenset({tokenizer.eos_token_id}))
    constraint = grammars.for_call([WEATHER, STRICT], dialect, several).copy(150)
    generator, ids = torch.Generator().manual_seed(seed), list[int]()
    while True:
        logits = torch.rand(len(tokenizer), generator=generator)
        constraint.mask(logits)
        ids.append(int(torch.multinomial(torch.softmax(logits, 0), 1, generator=generator)))
        if ids[-1] == tokenizer.eos_token_id or constraint.accept(ids[-1]) or len(ids) == 150:
            break
    pieces = [tokenizer.decode([token]) for token in ids if token != tokenizer.eos_token_id]
    said, calls = read(dialect, [tokenizer.decode(ids, skip_special_tokens=True)])
    assert said == ""
    assert len(calls) >= 1 if several else len(calls) == 1
    for name, arguments in calls:
        if name == "weather":
            assert set(arguments) == {"city", "days"}
            assert arguments["city"] in ("Paris", "Rome")
            assert 1 <= arguments["days"] <= 9
        else:
            assert set(arguments) == {"code"}
            assert len(arguments["code"]) == 2
    if "\ufffd" not in "".join(pieces):
        assert read(dialect, pieces) == (said, calls)


def says(tokenizer: Any, dialect: Dialect, several: bool, text: str) -> tuple[str, list[tuple[str, Any]]]:
    """What comes of a model that wants to write `text` while one of its tools is strict."""
    end = tokenizer.eos_token_id
    constraint = Grammars(tokenizer, len(tokenizer), frozenset({end})).for_strict([WEATHER, STRICT], dialect, several)
    constraint = constraint.copy(120)
    generator = torch.Generator().manual_seed(3)
    wanted, ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], end], list[int]()
    while len(ids) < 120:
        logits = torch.rand(len(tokenizer), generator=generator)
        if wanted:
            logits[wanted[0]] = 9.0
        constraint.mask(logits)
        ids.append(int(logits.argmax()))
        if wanted and ids[-1] == wanted[0]:
            wanted.pop(0)
        if constraint.accept(ids[-1]) or ids[-1] == end:
            break
    return read(dialect, [tokenizer.decode([i for i in ids if i != end])])


WITH_MARKS = [False, True]
"""Whether the marks around calls are tokens of their own, as most models have them."""


@pytest.fixture
def marked(request: pytest.FixtureRequest) -> Any:
    tokenizer = make_tokenizer(TEXTS)
    if request.param:
        tokenizer.add_tokens([HERMES.begin, HERMES.end, MISTRAL.begin])
    return tokenizer


@pytest.mark.parametrize("marked", WITH_MARKS, indirect=True)
@pytest.mark.parametrize(
    ("dialect", "text", "said"),
    [
        (HERMES, 'I ask. <tool_call>\n{"name": "ping", "arguments": {"code": "zzz"}}\n</tool_call>', "I ask. "),
        (HERMES, '<tool_call>\n{"name": "ping", "arguments": 5}\n</tool_call>', ""),
        (MISTRAL, 'I ask. [TOOL_CALLS][{"name": "ping", "arguments": {"extra": 1}}]', "I ask. "),
        (BARE, '{"name": "ping", "parameters": {}}', ""),
    ],
)
def test_a_call_of_a_strict_function_keeps_to_its_schema_when_the_model_is_free(
    marked: Any, dialect: Dialect, text: str, said: str
) -> None:
    found, calls = says(marked, dialect, False, text)
    assert found == said
    ((name, arguments),) = calls
    assert name == "ping"
    assert list(arguments) == ["code"]
    assert re.fullmatch("[a-c]{2}", arguments["code"])


@pytest.mark.parametrize("marked", WITH_MARKS, indirect=True)
@pytest.mark.parametrize("dialect", [HERMES, MISTRAL, BARE])
@pytest.mark.parametrize(
    "text", ["", "It is {good}: a < b.", "<tool_cal", "[TOOL CALLS] 你好", "a\n\n<|im_start|>b<|im_start|>"]
)
def test_beside_strict_functions_the_model_says_what_it_likes(marked: Any, dialect: Dialect, text: str) -> None:
    assert says(marked, dialect, True, text) == (text, [])


@pytest.mark.parametrize("marked", WITH_MARKS, indirect=True)
def test_beside_strict_functions_others_take_any_object_and_several_may_be_called(marked: Any) -> None:
    call = '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
    text = call % ("weather", '{"city": 5}') + "\n" + call % ("ping", '{"code": "ab"}')
    assert says(marked, HERMES, True, text) == ("", [("weather", {"city": 5}), ("ping", {"code": "ab"})])


def test_an_answer_beside_a_strict_function_is_as_long_as_without(server: Server, tokenizer: Any) -> None:
    bias = {str(tokenizer.eos_token_id): -100}
    asked = request("auto", tools=[STRICT], max_tokens=40, temperature=0, logit_bias=bias)
    status, body, _ = server.post(asked)
    assert status == 200, body
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 40


def test_without_tools_or_with_none_nothing_is_read_as_a_call(server: Server) -> None:
    for fields in ({"tools": None, "tool_choice": None}, {"tool_choice": "none"}):
        status, body, _ = server.post(request("none", seed=1) | fields | {"max_tokens": 5})
        assert status == 200
        assert "tool_calls" not in body["choices"][0]["message"]


def test_the_results_of_calls_go_back_to_the_model(server: Server) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert server.post(request("auto", messages=messages, max_tokens=3))[0] == 200
