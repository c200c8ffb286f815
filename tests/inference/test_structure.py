"""Output that is forced to be JSON, whatever a model with random weights would rather write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.inference.server import Server, user

ORDER = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["refund", "return"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 20},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "note": {"type": "string", "maxLength": 5},
    },
    "required": ["kind", "count", "tags", "note"],
    "additionalProperties": False,
}


def ask(server: Server, schema: Any, **more: Any) -> dict[str, Any]:
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}
    status, body, _ = server.post(user("Give me an order", response_format=wanted, max_tokens=300, **more))
    assert status == 200, body
    found: dict[str, Any] = body["choices"][0]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_schema_is_kept_at_any_temperature(server: Server, seed: int) -> None:
    choice = ask(server, ORDER, temperature=[0.0, 1.0, 2.0][seed % 3], seed=seed)
    order = json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"
    assert sorted(order) == ["count", "kind", "note", "tags"]
    assert order["kind"] in ("refund", "return")
    assert 0 <= order["count"] <= 20
    assert len(order["tags"]) <= 2
    assert len(order["note"]) <= 5


def test_choices_of_one_request_each_keep_to_it(server: Server) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": ORDER}}
    body = server.post(user("An order", response_format=wanted, n=3, temperature=1.0, seed=1, max_tokens=300))[1]
    assert all(json.loads(choice["message"]["content"])["kind"] for choice in body["choices"])


LONG = {
    "type": "object",
    "properties": {
        "story": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "array", "items": {"type": "string", "minLength": 3}}},
        "count": {"type": "number"},
        "kind": {"enum": ["refund", "return"]},
    },
    "required": ["story", "parts", "count", "kind"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wanted", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema": LONG}}])
@pytest.mark.parametrize("limit", [70, 150])
def test_an_output_that_runs_out_of_tokens_is_brought_to_its_end(
    server: Server, wanted: dict[str, Any], seed: int, limit: int
) -> None:
    body = server.post(user("A story", response_format=wanted, max_tokens=limit, temperature=1.5, seed=seed))[1]
    choice = body["choices"][0]
    found = json.loads(choice["message"]["content"])
    assert isinstance(found, dict)
    assert body["usage"]["completion_tokens"] <= limit
    if wanted["type"] == "json_schema":
        assert sorted(found) == ["count", "kind", "parts", "story"]


def test_json_object_begins_an_object_even_where_it_cannot_end(server: Server) -> None:
    body = server.post(user("An order", response_format={"type": "json_object"}, max_tokens=1))[1]
    assert body["choices"][0]["message"]["content"].startswith("{")
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "#/$defs/missing"}, {"type": "string", "pattern": "("}]
)
def test_a_schema_that_cannot_be_enforced_is_the_callers_error(server: Server, schema: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    status, body, _ = server.post(user("An order", response_format=wanted))
    assert status == 400
    assert body["error"]["param"] == "response_format"
    assert server.post(user("hi", max_tokens=1))[0] == 200
