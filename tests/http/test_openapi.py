"""/openapi.json says what the code does: the routes, the fields, their limits. A change of one is a change of both."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app as chalice_app
from chalicelib import openapi, wiring
from parley.domain.message import RATINGS
from parley.domain.request import Request
from parley.errors import BadRequest
from parley.openai_api import chat_completions, feedback, fields, responses

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads(openapi.DOCUMENT.read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
PAGES_OWN = ("/", "/web/")
METHODS = {"get", "post", "put", "patch", "delete"}

Parse = Callable[[bytes], Request]
BODIES: dict[str, tuple[str, Parse, Any, dict[str, Any]]] = {
    "responses": ("CreateResponse", responses.parse, responses, {"input": "x"}),
    "completions": (
        "CreateCompletion",
        chat_completions.parse,
        chat_completions,
        {"model": "default", "messages": [{"role": "user", "content": "x"}]},
    ),
}


def test_it_is_a_valid_document_that_anybody_may_read_and_keep(http: httpx.Client) -> None:
    answer = http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "public, max-age=3600"
    OpenAPIV31SpecValidator(answer.json()).validate()
    known = http.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.text) == (304, "")


def test_it_names_the_projects_version() -> None:
    assert DOCUMENT["info"]["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_it_has_every_route_but_those_of_the_page() -> None:
    served = {
        (path, method.lower())
        for path, methods in chalice_app.app.routes.items()
        for method in methods
        if path != PAGES_OWN[0] and not path.startswith(PAGES_OWN[1])
    }
    described = {(path, name) for path, entry in DOCUMENT["paths"].items() for name in entry if name in METHODS}
    assert described == served


def test_it_has_every_channel() -> None:
    channel, _ = DOCUMENT["paths"]["/webhooks/{channel}/{bot}"]["parameters"]
    assert set(channel["schema"]["enum"]) == set(wiring.CHANNELS)


def test_what_needs_a_key_says_so(http: httpx.Client) -> None:
    for path, entry in DOCUMENT["paths"].items():
        for method in METHODS & set(entry):
            status = http.request(method.upper(), path.replace("{channel}", "slack").replace("{bot}", "b")).status_code
            if entry[method]["security"] == [{"key": []}]:
                assert status == 401, path
                assert "401" in entry[method]["responses"], path
            else:
                assert status in (200, 404), path


@pytest.mark.parametrize("name", BODIES)
def test_its_bodies_have_exactly_the_fields_that_are_taken(name: str) -> None:
    schema, _, module, _ = BODIES[name]
    assert set(SCHEMAS[schema]["properties"]) == module.READ | module.WITHOUT_EFFECT | set(module.UNSERVED)
    for field, harmless in module.UNSERVED.items():
        assert SCHEMAS[schema]["properties"][field]["enum"] == [*harmless, None]


@pytest.mark.parametrize("name", BODIES)
def test_its_examples_are_taken(name: str) -> None:
    schema, parse, _, _ = BODIES[name]
    bodies = [
        example["value"]
        for entry in DOCUMENT["paths"].values()
        for content in [entry.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})]
        if content.get("schema") == {"$ref": f"#/components/schemas/{schema}"}
        for example in content["examples"].values()
    ]
    assert bodies
    for body in bodies:
        parse(json.dumps(body).encode())


def edges(schema: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """A value at each of a field's limits, and one just beyond it."""
    for kind in schema.get("anyOf", [schema]):
        step = 1 if "integer" in kind.get("type", []) else 0.001
        if "minimum" in kind:
            yield kind["minimum"], kind["minimum"] - step
        if "maximum" in kind:
            yield kind["maximum"], kind["maximum"] + step
        if "maxLength" in kind:
            yield "x" * kind["maxLength"], "x" * (kind["maxLength"] + 1)
        if "maxProperties" in kind:
            pairs = {str(number): "" for number in range(kind["maxProperties"])}
            yield pairs, {**pairs, "more": ""}
        if "propertyNames" in kind:
            key, value = kind["propertyNames"]["maxLength"], kind["additionalProperties"]["maxLength"]
            yield {"k" * key: "v" * value}, {"k" * (key + 1): ""}
            yield {"k": ""}, {"": "v"}
            yield {"k": "v" * value}, {"k": "v" * (value + 1)}
        if kind.get("type") == "array" and "maxItems" in kind:
            yield ["x"] * kind["maxItems"], ["x"] * (kind["maxItems"] + 1)


@pytest.mark.parametrize("name", BODIES)
def test_its_limits_are_those_of_the_parser(name: str) -> None:
    schema, parse, _, least = BODIES[name]
    tried = 0
    for field, limits in SCHEMAS[schema]["properties"].items():
        for within, beyond in edges(limits):
            tried += 1
            parse(json.dumps({**least, field: within}).encode())
            with pytest.raises(BadRequest) as refused:
                parse(json.dumps({**least, field: beyond}).encode())
            assert refused.value.param == field
        if "null" in limits.get("type", []):
            parse(json.dumps({**least, field: None}).encode())
    assert tried >= 10
    for field in SCHEMAS[schema]["required"]:
        with pytest.raises(BadRequest):
            parse(json.dumps({**least, field: None}).encode())


def test_a_whole_number_may_be_written_with_a_point() -> None:
    asked = responses.parse(b'{"input": "x", "max_output_tokens": 5.0}')
    assert asked.options == {"max_tokens": 5}
    assert type(asked.options["max_tokens"]) is int


def test_its_ratings_are_those_that_are_taken() -> None:
    taken = SCHEMAS["CreateFeedback"]["properties"]["rating"]["enum"]
    assert set(taken) == set(SCHEMAS["Feedback"]["properties"]["rating"]["enum"]) == {*RATINGS, None}
    for rating in taken:
        assert feedback.parse(json.dumps({"rating": rating}).encode()) == rating


def test_its_size_limit_is_that_of_the_edge() -> None:
    limit = f"{fields.MAX_BODY_BYTES:,}"
    assert limit in DOCUMENT["info"]["description"]
    assert limit in DOCUMENT["components"]["responses"]["TooLarge"]["description"]
