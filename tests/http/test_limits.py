"""Callers and visitors at their limits: 429 with the time to wait, in OpenAI's shape or the visitor's language."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from chalicelib import web_api
from parley.domain.limits import Limits, Policy
from scripts.local.stand_in.runtime import StandInWiring
from tests.http.conftest import HeldModel
from tests.http.routes import visitor
from tests.waiting import until

A, B = {"Authorization": "Bearer key-a"}, {"Authorization": "Bearer key-b"}


@pytest.fixture
def parts(model: HeldModel) -> StandInWiring:
    callers = Limits(turns_at_once=2, tokens_per_day=1000)
    return StandInWiring(model, policy=Policy(callers, Limits(requests_per_minute=3, turns_at_once=2)))


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's clock stands still, so that no minute ends within a test."""
    monkeypatch.setattr(web_api, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))


def send(page: httpx.Client, text: str = "hello", id: str = "") -> httpx.Response:
    body = {"text": text, "client_id": str(uuid.uuid4())}
    return page.post(f"/web/conversations/{id or uuid.uuid4()}/messages", json=body)


def begin(http: httpx.Client, model: HeldModel, turns: int) -> None:
    """So many turns of caller a are with the model."""
    model.hold()
    for number in range(turns):
        assert http.post("/v1/responses", headers=A, json={"input": f"{number}", "background": True}).is_success
    until(lambda: len(model.asked) == turns)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "x", "background": True}),
        ("/v1/responses", {"input": "x"}),
        ("/v1/chat/completions", {"model": "default", "messages": [{"role": "user", "content": "x"}]}),
    ],
)
def test_a_caller_with_too_many_turns_is_told_when_to_come_back(
    http: httpx.Client, model: HeldModel, path: str, body: object
) -> None:
    begin(http, model, 2)
    answer = http.post(path, headers=A, json=body)
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert "at most 2 at once" in answer.json()["error"]["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert http.post("/v1/responses", headers=B, json={"input": "x", "background": True}).status_code == 200
    model.release()
    until(lambda: http.post(path, headers=A, json=body).status_code == 200)


def test_the_openai_client_sees_a_rate_limit_error(http: httpx.Client, client: OpenAI, model: HeldModel) -> None:
    begin(http, model, 2)
    with pytest.raises(openai.RateLimitError):
        client.responses.create(input="x")


def test_no_more_turns_of_a_caller_reach_the_model_than_allowed_however_many_come_at_once(
    http: httpx.Client, model: HeldModel
) -> None:
    model.hold()
    body = {"input": "x", "background": True}
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: http.post("/v1/responses", headers=A, json=body), range(16)))
    taken = [answer.json()["id"] for answer in made if answer.status_code == 200]
    assert {answer.status_code for answer in made} <= {200, 429}

    def ended() -> list[str | None]:
        shown = [http.get(f"/v1/responses/{id}", headers=A).json() for id in taken]
        return [(response["error"] or {}).get("code") for response in shown if response["status"] == "failed"]

    until(lambda: len(ended()) == len(taken) - 2)
    assert set(ended()) <= {"rate_limit_exceeded"}
    assert len(model.asked) == 2


def test_what_slips_past_the_door_is_refused_with_429_where_the_caller_waits(
    http: httpx.Client, parts: StandInWiring, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(http, model, 2)
    monkeypatch.setattr(parts, "allowances", Open())
    answer = http.post("/v1/responses", headers=A, json={"input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) >= 1


class Open:
    """A door through which everybody comes."""

    def admit(self, user: str, conversation: str, now: float, opens: bool = True) -> None: ...


def test_a_caller_that_has_used_up_its_tokens_waits_for_the_next_day(
    http: httpx.Client, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "usage", {"prompt_tokens": 900, "completion_tokens": 100})
    body = {"input": "x"}
    assert http.post("/v1/responses", headers=A, json=body).status_code == 200
    answer = http.post("/v1/responses", headers=A, json=body)
    assert answer.status_code == 429
    assert "today's share" in answer.json()["error"]["message"]
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    assert http.post("/v1/responses", headers=B, json={"input": "x"}).status_code == 200


def test_a_visitor_may_send_so_many_messages_a_minute_and_another_one_too(url: str, noon: None) -> None:
    with visitor(url) as page, visitor(url) as other:
        id = str(uuid.uuid4())
        assert [send(page, id=id).status_code for _ in range(3)] == [202] * 3
        refused = send(page, "再来一个", id)
        assert refused.status_code == 429
        assert refused.json()["error"]["message"] == "你问得太快了：每分钟最多 3 个问题。请过一分钟再问。"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert send(other).status_code == 202


def test_a_visitors_ratings_count_as_requests(url: str, noon: None) -> None:
    id = str(uuid.uuid4())
    with visitor(url) as page:
        send(page, id=id)
        until(lambda: len(page.get(f"/web/conversations/{id}").json().get("messages", [])) == 2)
        send(page)
        address = f"/web/conversations/{id}/messages/2/feedback"
        assert page.post(address, json={"rating": "up"}).status_code == 200
        refused = page.post(address, json={"rating": "down"})
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (429, True)
        assert page.get(f"/web/conversations/{id}").json()["messages"][1]["feedback"] == "up"


def test_no_more_messages_of_a_visitor_are_taken_than_allowed_however_many_come_at_once(url: str, noon: None) -> None:
    with visitor(url) as page, ThreadPoolExecutor(8) as pool:
        id = str(uuid.uuid4())
        statuses = list(pool.map(lambda _: send(page, id=id).status_code, range(16)))
    assert sorted(statuses) == [202] * 3 + [429] * 13


def test_a_visitor_with_too_many_turns_sees_why(url: str, model: HeldModel, parts: StandInWiring) -> None:
    model.hold()
    with visitor(url) as page:
        for _ in range(2):
            send(page)
        until(lambda: len(model.asked) == 2)
        assert "at most 2 at once" in send(page).json()["error"]["message"]


def test_when_the_limits_cannot_be_read_nothing_is_taken(
    http: httpx.Client, parts: StandInWiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "allowances", None)
    assert http.post("/v1/responses", headers=A, json={"input": "x"}).status_code == 500
    assert parts.conversations.all() == {}
