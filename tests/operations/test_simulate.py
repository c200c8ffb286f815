"""`scripts/simulate`: the queue behaves as a real one does, and the policies as the template's do."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.operations import simulate
from scripts.operations.scaling import Endpoint, Engine, Outcome, Policy, office_hours

DAY = 86_400.0
ONE = Policy()
EXACT = Engine(slots=4, alone=2.0, gain=4.0, start=300.0, spread=0.0)


def run(arrivals: list[float], policy: Policy = ONE, engine: Engine = EXACT, until: float = DAY) -> Outcome:
    return Endpoint(policy, engine, 1).run(arrivals, until)


def test_a_month_without_a_message_costs_nothing() -> None:
    outcome = run([], until=30 * DAY)
    assert (outcome.instance_seconds, outcome.wake_ups) == (0.0, 0)


def test_the_first_message_wakes_one_instance_and_waits_for_it() -> None:
    outcome = run([1000.0])
    assert outcome.wake_ups == 1
    (wait,) = outcome.waits
    assert 300 + 2 <= wait <= 60 + 300 + 2, "the alarm looks once a minute"
    assert 15 * 60 <= outcome.instance_seconds <= 300 + 18 * 60, "and stays for a quarter of an hour of little to do"


def test_a_longer_keep_warm_time_pays_more_and_wakes_less() -> None:
    arrivals = office_hours(40, 7, seed=3)
    short, long = (run(arrivals, Policy(keep_warm=keep), until=7 * DAY) for keep in (600, 7200))
    assert long.instance_seconds > short.instance_seconds
    assert long.wake_ups < short.wake_ups
    assert long.percentile(0.5) <= short.percentile(0.5)


def test_within_warm_hours_nobody_waits_for_a_start() -> None:
    warm = Policy(warm=(9 * 3600, 18 * 3600))
    outcome = run([10 * 3600.0, 12 * 3600.0, 17 * 3600.0], warm)
    assert outcome.waits == [2.0, 2.0, 2.0]
    assert outcome.instance_seconds >= 9 * 3600 - 120


def test_more_instances_start_when_the_backlog_grows_and_never_more_than_allowed() -> None:
    arrivals = [float(second) / 8 for second in range(8 * 3600 * 2)]
    one, three = (run(arrivals, Policy(most=most, backlog=8)) for most in (1, 3))
    assert three.percentile(0.95) < one.percentile(0.95)
    assert three.instance_seconds <= 3 * (three.seconds + 600)


def test_nobody_is_cut_off_by_the_way_to_zero() -> None:
    outcome = run(office_hours(300, 7, seed=5), until=7 * DAY)
    assert outcome.cut == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 4 * 3600), max_size=60), st.integers(1, 4), st.floats(0, 3600), st.integers(1, 8),
    st.integers(0, 5),
)  # fmt: skip
def test_every_request_is_answered_once_and_none_before_it_came(
    arrivals: list[float], most: int, keep: float, slots: int, seed: int
) -> None:
    engine = Engine(slots=slots, alone=3.0, gain=2.0, start=200.0)
    outcome = Endpoint(Policy(most, 4.0, keep), engine, seed).run(arrivals, 5 * 3600)
    assert len(outcome.waits) == len(arrivals)
    assert all(wait >= 3.0 - 1e-6 for wait in outcome.waits)
    assert outcome.wake_ups <= len(arrivals)


def test_the_same_seed_gives_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        assert simulate.main(["--days", "3", "--json", "--policy", "most=2,backlog=4"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


def test_the_simulated_queue_waits_as_the_local_endpoint_does() -> None:
    draw = random.Random(7)
    arrivals = sorted(draw.uniform(0, 2.0) for _ in range(120))
    real, simulated = simulate.compare(arrivals, service=0.05, workers=4)
    assert len(real) == len(simulated) == 120
    for share in (0.5, 0.95):
        told, seen = Outcome(waits=simulated).percentile(share), Outcome(waits=real).percentile(share)
        assert abs(told - seen) <= 0.3 * max(told, seen) + 0.03


def test_traffic_is_read_from_seconds_and_from_times(tmp_path: Path) -> None:
    file = tmp_path / "traffic.csv"
    file.write_text("time\n2026-11-24T09:00:00,5\n\n2026-11-24T09:00:30 # a comment\n")
    assert simulate.read_traffic(file) == [9 * 3600.0, 9 * 3600.0 + 30]
    file.write_text("30\n10.5\n")
    assert simulate.read_traffic(file) == [10.5, 30.0]


@pytest.mark.parametrize("line", ["yesterday at nine", "-5", "nan", "1e99", "{}"])
def test_what_is_no_time_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    file = tmp_path / "traffic.csv"
    file.write_text(f"1\n{line}\n")
    assert simulate.main(["--traffic", str(file)]) == 2
    assert "line 2" in capsys.readouterr().err
    assert simulate.main(["--traffic", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("policy", ["most", "most=x", "colour=blue", "warm=9", "keep=-1"])
def test_what_is_no_policy_is_refused(policy: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        simulate.main(["--policy", policy])
    assert stopped.value.code == 2
