"""`scripts/cost`: its table of a turn is what the functions do, and its sums add up."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from scripts.operations import cost
from tests.channels.platforms import SlackApi
from tests.deployment.recorded_system import Call, RecordedSystem
from tests.deployment.slack_user import say


def turn(system: RecordedSystem) -> list[Call]:
    """The calls of one one-step turn of a conversation that has had one."""
    for _ in range(2):
        system.calls.clear()
        say(system, "hello")
        system.work("think", "Inbox")
        system.answer("hello back")
        system.work("reply", "Replies")
        assert system.work("deliver", "Outbox") == 1
    return [call for call in system.calls if call.function]


def test_a_turn_is_charged_for_what_the_functions_do(system: RecordedSystem, slack: SlackApi) -> None:
    calls = turn(system)
    done = Counter(call.operation for call in calls)
    assert done["SendMessage"] == 2, "each is received and deleted by Lambda: 2 and 4 requests of FIFO queues"
    assert done["InvokeEndpointAsync"] == 1
    written = [len(call.parameters["TransactItems"]) for call in calls if call.operation == "TransactWriteItems"]
    assert written == [5, 4]
    assert (done["UpdateItem"], done["GetItem"], done["Query"], done["PutObject"]) == (1, 0, 3, 0)
    assert set(done) == {"SendMessage", "InvokeEndpointAsync", "TransactWriteItems", "UpdateItem", "Query"}
    made = Counter(call.function for call in calls)
    assert {
        "receive": made["api_handler"],
        **{name: made[name] for name in ("think", "reply", "deliver")},
    } == cost.AWS_CALLS
    assert cost.TURN["dynamodb_write_unit"] == 2 * sum(written) + done["UpdateItem"] + 4 + 4


def test_the_sums_of_the_report_are_those_of_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    prices = cost.load_prices()
    assert sum(told["million_turns"].values()) == pytest.approx(1e6 * sum(cost.turn(prices).values()))
    for instance, months in told["months"].items():
        assert months["10000000"]["turns"] == pytest.approx(10 * sum(told["million_turns"].values()))
        assert months["1000"]["gpu"] <= prices["instances_per_hour"][instance] * 720
        assert months["10000000"]["gpu"] > months["100000"]["gpu"]


def test_an_idle_month_costs_about_a_dollar_after_the_free_amounts_and_no_gpu() -> None:
    idle = cost.idle_month(cost.load_prices(), free_tier=True)
    assert sum(idle.values()) <= 1.05
    assert not any("gpu" in name or "instance" in name for name in idle)


def test_a_shorter_tail_makes_a_wake_up_cheaper_by_exactly_that(capsys: pytest.CaptureFixture[str]) -> None:
    prices = cost.load_prices()
    long, tail = cost.wake_up(prices, cost.Traffic(tail_seconds=900))
    short, less = cost.wake_up(prices, cost.Traffic(tail_seconds=300))
    assert long - short == pytest.approx(tail - less) == pytest.approx(600 * 1.127 / 3600)


@pytest.mark.parametrize("arguments", [["--gpu-seconds", "-1"], ["--wake-ups", "many"], ["--instance-type", "t2"]])
def test_what_is_no_amount_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cost.main(arguments)
    assert stopped.value.code == 2


def test_the_price_table_says_its_date(capsys: pytest.CaptureFixture[str]) -> None:
    cost.main([])
    assert cost.load_prices()["date"] in capsys.readouterr().out
