"""/metrics as Prometheus' own parser reads it, and the table that documents it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.request import Request

import metrics
from prometheus_client.parser import text_string_to_metric_families

from tests.inference.server import Server, user

README = Path(metrics.__file__).with_name("README.md")


def samples(server: Server) -> dict[tuple[str, str], float]:
    """Every sample's value by its name and its one label's value, if it has one."""
    families = list(text_string_to_metric_families(server.get("/metrics")[1]))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_prometheus_own_parser_reads_every_metric_with_its_type_and_text(server: Server) -> None:
    server.post(user("hi", max_tokens=3))
    families = list(text_string_to_metric_families(server.get("/metrics")[1]))
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}
    assert all(family.documentation for family in families)
    assert all(family.name.startswith("parley_") for family in families)


def test_histograms_are_cumulative_and_end_with_their_count(server: Server) -> None:
    server.post(user("hi", max_tokens=3))
    found = samples(server)
    for name in ("parley_time_to_first_token_seconds", "parley_time_per_token_seconds"):
        buckets = [value for (key, _), value in found.items() if key == f"{name}_bucket"]
        assert buckets == sorted(buckets)
        assert buckets[-1] == found[(f"{name}_count", "")] > 0
        assert found[(f"{name}_sum", "")] > 0


def test_errors_are_counted_by_code_wherever_they_happen(server: Server) -> None:
    before = samples(server)
    server.post(user("hi", temperature=9))
    server.post(b"{")
    server.request(Request(server.url + "/nowhere"))
    after = samples(server)
    for code in ("invalid_value", "invalid_json", "not_found"):
        key = ("parley_errors_total", code)
        assert after[key] == before.get(key, 0) + 1


def test_lookups_and_hits_of_prefixes_are_counted(server: Server) -> None:
    before = samples(server)
    question = "This sentence has to come back, so that its beginning is found again in memory."
    for _ in range(2):
        server.post(user(question, max_tokens=2))
    after = samples(server)

    def grown(name: str) -> float:
        return after[(f"parley_prefix_{name}_total", "")] - before[(f"parley_prefix_{name}_total", "")]

    assert grown("lookups") == 2
    assert grown("hits") >= 1
    assert grown("tokens") >= 20


def test_the_table_documents_every_metric_and_no_other(server: Server) -> None:
    text = README.read_text("utf-8")
    table = text[text.index("\n| Prometheus |") : text.index("\n## Settings")]
    families = text_string_to_metric_families(server.get("/metrics")[1])
    served = {family.name + "_total" * (family.type == "counter") for family in families}
    assert set(re.findall(r"`(parley_[a-z_]+)`", table)) == served
    from emf import UNITS

    assert set(re.findall(r"`([A-Z][A-Za-z]+)`", table)) == set(UNITS)
