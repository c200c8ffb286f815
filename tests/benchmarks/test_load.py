"""`scripts/bench load`: its checks can fail, its clock is honest, and the system passes it at a small scale."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import Any

import pytest

from scripts.benchmarks import conversation_cost, load, noisy_user
from scripts.benchmarks.memory import growth
from scripts.benchmarks.open_loop import Due, OpenLoop, Thread, Times, steady
from scripts.benchmarks.reconciliation import Account
from scripts.benchmarks.slack_webhooks import SlackSide
from scripts.local.http_server import HttpRequest, HttpResponse, HttpServer, bind


def kept(*turns: list[int], delivered: bool = True) -> dict[str, Any]:
    """What the table holds of turns with these messages each."""
    users = [[f"message {n}", number] for number, said in enumerate(turns, 1) for n in said]
    answers = [[number, delivered, ", ".join(f"message {n}" for n in said)] for number, said in enumerate(turns, 1)]
    return {"users": users, "turns": answers}


def account(seen: Thread, stored: dict[str, Any] | None) -> Account:
    found = Account()
    found.add("thread", seen, stored)
    return found


def test_a_conversation_that_is_whole_is_clean() -> None:
    assert account(Thread([1, 2, 3], [[1], [2, 3]]), kept([1], [2, 3])).clean


@pytest.mark.parametrize(
    ("seen", "stored"),
    [
        (Thread([1, 2], [[1], [2]]), kept([1])),
        (Thread([1, 2], [[1]]), kept([1], [2])),
        (Thread([1, 2], [[1], [2], [2]]), kept([1], [2])),
        (Thread([1, 2], [[2], [1]]), kept([1], [2])),
        (Thread([1, 2], [[1], [2]]), kept([2], [1])),
        (Thread([1], [[1]]), kept([1], delivered=False)),
        (Thread([1], [[1]]), None),
    ],
    ids=["not stored", "not delivered", "twice", "delivered out of order", "stored out of order", "failed", "open"],
)
def test_what_does_not_fit_is_not_clean(seen: Thread, stored: dict[str, Any] | None) -> None:
    assert not account(seen, stored).clean


def test_memory_that_swings_does_not_grow_and_memory_that_leaks_does() -> None:
    noise = random.Random(7)
    level = itertools.accumulate(noise.gauss(0, 0.05) for _ in range(300))
    swinging = [(second, 100 + noise.gauss(0, 0.3) + 0.2 * step) for second, step in enumerate(level)]
    found = growth(swinging)
    assert found is not None
    assert found.low < 0 < found.high
    leak = growth([(second, mib + second * 3 / 60) for second, mib in swinging])
    assert leak is not None
    assert leak.leaks
    assert leak.low < 3 < leak.high
    assert growth(swinging[:60]) is None, "too short to say"


def test_latency_counts_from_when_a_message_was_due() -> None:
    first, seconds = threading.Event(), 0.4

    def stall(request: HttpRequest) -> HttpResponse:
        if not first.is_set():
            first.set()
            time.sleep(seconds)  # the system under test stalls: what is due meanwhile waits
        return HttpResponse(200)

    server = HttpServer(bind(0), stall, lambda status, text: HttpResponse(status), 10_000)
    server.start()
    plan = [Due(index * 0.05, "t", index + 1, "U") for index in range(5)]
    loop = OpenLoop(f"http://127.0.0.1:{server.server_port}", plan, workers=1)
    loop.start()
    loop.wait(10, patience=0.1)
    server.stop(1)
    taken = loop.all_times().acknowledged
    assert len(taken) == 5
    assert all(latency >= seconds - entry.at - 0.05 for latency, entry in zip(taken, plan, strict=True))


def test_a_steady_plan_goes_round_the_conversations_and_renews_them() -> None:
    plan = steady(rate=10, seconds=2, conversations=4, each=2, series="9")
    assert len(plan) == 20
    assert [entry.number for entry in plan[:10]] == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1]
    assert len({entry.thread for entry in plan}) == 12
    assert plan[10].at == 1.0


def test_under_load_sent_is_stored_is_answered_is_delivered() -> None:
    found = Account()
    with SlackSide() as slack, load.system(slack) as running:
        steadily = load.measure_steady(slack, running, rate=40, seconds=2, account=found)
        burst = load.measure_burst(slack, running, 1, found, messages=120, conversations=30)
    assert (found.sent, found.clean) == (200, True)
    assert steadily["refused"] == burst["refused"] == 0
    assert steadily["memory_mib"]


def test_a_turn_costs_the_same_in_a_long_conversation() -> None:
    costs = conversation_cost.measure((10, 40, 200), turns=2)
    assert conversation_cost.bounded(costs)
    assert {cost.requests for cost in costs} == {9}
    assert costs[1].read_units == costs[2].read_units >= costs[0].read_units > 0
    assert costs[0].write_units == costs[1].write_units == costs[2].write_units > 0


def test_noise_is_judged_by_how_long_the_others_wait() -> None:
    alone = Times(answered=[0.1] * noisy_user.OTHERS * noisy_user.ROUNDS)
    starved = Times(answered=[60.0] * noisy_user.OTHERS * noisy_user.ROUNDS)
    lost = Times(answered=[0.1])
    noise = Times(acknowledged=[0.2] * noisy_user.NOISE, answered=[1.0] * noisy_user.NOISE)
    slow = Times(answered=[1.5] * noisy_user.OTHERS * noisy_user.ROUNDS)
    for case, slow_is_within in ((noisy_user.CASES[2], True), (noisy_user.CASES[3], False)):
        judged = [noisy_user.figures(case, times, noise, alone) for times in (alone, slow, starved, lost)]
        assert [figures["within"] for figures in judged] == [True, slow_is_within, False, False]


@pytest.mark.parametrize("wrong", [["--minutes", "0"], ["--minutes", "61"], ["--rate", "-1"], ["--bursts", "21"]])
def test_wrong_use_ends_with_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load.main(wrong)
    assert ended.value.code == 2
