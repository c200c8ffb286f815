"""The lines that CloudWatch turns into metrics."""

from __future__ import annotations

import json
from typing import Any

from emf import NAMESPACE, Reporter

from tests.inference.engines import engine, run_until_idle, sequence


def test_a_line_says_what_happened_since_the_one_before(model: Any) -> None:
    found = engine(model)
    reporter = Reporter(found, "tiny")
    found.submit([sequence([5, 6, 7], 4, stop_ids=frozenset())])
    run_until_idle(found._scheduler)
    first, second = json.loads(reporter.line()), json.loads(reporter.line())
    assert (first["TokensIn"], first["TokensOut"]) == (3, 4)
    assert first["TimeToFirstToken"] > 0
    assert (second["TokensIn"], second["TokensOut"]) == (0, 0)
    assert "TimeToFirstToken" not in second


def test_every_metric_that_is_declared_is_there_with_its_dimension(model: Any) -> None:
    line = json.loads(Reporter(engine(model), "tiny").line())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert directive["Dimensions"] == [["Model"]]
    assert line["Model"] == "tiny"
    assert all(isinstance(line[metric["Name"]], int | float) for metric in directive["Metrics"])
