"""The lines that CloudWatch turns into metrics."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from emf import NAMESPACE, Reporter

from tests.inference.engines import engine, run_until_idle, sequence

NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": NAME,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": NAME},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": NAME,
                                        "Unit": {"enum": ["Count", "Percent", "Milliseconds"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
"""CloudWatch's "Embedded metric format specification", as far as it can reject a line; of its units those used here."""


def test_a_line_says_what_happened_since_the_one_before(model: Any) -> None:
    found = engine(model)
    errors = {"queue_full": 3}
    reporter = Reporter(found, "tiny", errors)
    found.submit([sequence([5, 6, 7], 4, stop_ids=frozenset())])
    run_until_idle(found._scheduler)
    errors["queue_full"] = 5
    first, second = json.loads(reporter.line()), json.loads(reporter.line())
    assert (first["TokensIn"], first["TokensOut"]) == (3, 4)
    assert (first["Errors"], first["ErrorCodes"]) == (2, {"queue_full": 2})
    assert first["TimeToFirstToken"] > 0
    assert (second["TokensIn"], second["TokensOut"], second["Errors"]) == (0, 0, 0)
    assert "TimeToFirstToken" not in second


@pytest.mark.parametrize("busy", [False, True])
def test_a_line_is_what_the_format_demands(model: Any, busy: bool) -> None:
    found = engine(model, reuse=100)
    reporter = Reporter(found, "tiny")
    if busy:
        found.submit([sequence([5, 6, 7], 4, stop_ids=frozenset())])
        run_until_idle(found._scheduler)
    text = reporter.line()
    assert "\n" not in text
    assert len(text.encode()) < 1 << 20
    line = json.loads(text)
    jsonschema.validate(line, SCHEMA)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    # What a directive names has to be at the top: dimensions as text, metrics as numbers.
    assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
    assert all(isinstance(line[metric["Name"]], int | float) for metric in directive["Metrics"])
    assert line["_aws"]["Timestamp"] > 10**12
