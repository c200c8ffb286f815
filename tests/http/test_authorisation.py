"""Every route against another caller, another bot, another visitor and nobody: what is not yours is not there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.http.conftest import HeldModel
from tests.http.routes import (
    ROUTES,
    SECRETS,
    SLACK_SECRETS,
    TELEGRAM_SECRETS,
    Route,
    app_routes,
    guarded,
    slack_event,
    slack_headers,
    telegram_update,
    visitor,
)
from tests.waiting import until

A, B = {"Authorization": "Bearer key-a"}, {"Authorization": "Bearer key-b"}


@pytest.fixture(scope="module")
def model() -> HeldModel:
    return HeldModel()


@pytest.fixture(autouse=True)
def released(model: HeldModel) -> Iterator[None]:
    yield
    model.release()


@pytest.fixture(scope="module")
def parts(model: HeldModel) -> StandInWiring:
    return StandInWiring(model, SECRETS)


@pytest.fixture(scope="module")
def url(parts: StandInWiring, model: HeldModel) -> Iterator[str]:
    with StandInRuntime(parts) as runtime:
        yield runtime.url
        model.release()


class Sealed:
    """Whatever touches this fails, and its caller gets a 5xx."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was reached without permission")


@pytest.fixture
def sealed(parts: StandInWiring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Table and inbox that nobody may reach. Only before anything is on its way: the stages behind need them too."""
    monkeypatch.setattr(parts, "conversations", Sealed())
    monkeypatch.setattr(parts, "inbox", Sealed())


def test_every_route_of_the_app_is_tried_here() -> None:
    assert app_routes() == {(route.method, route.pattern) for route in ROUTES}


@pytest.mark.parametrize("route", guarded("key"), ids=str)
def test_a_route_of_the_api_takes_a_key_and_nothing_else(
    url: str, http: httpx.Client, sealed: None, route: Route
) -> None:
    body = slack_event()
    with visitor(url) as page:
        strangers: list[dict[str, str]] = [
            {}, {"Authorization": "Bearer nope"}, {"Authorization": "Bearer"}, {"Authorization": "key-a"},
            {"Authorization": "Basic key-a"}, {"X-Api-Key": "key-a"},
            {"Cookie": f"parley_visitor={page.cookies['parley_visitor']}", "X-Parley": "1"},
            slack_headers(body, SLACK_SECRETS["default"]),
            {"X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRETS["default"]},
        ]  # fmt: skip
    answers = [http.request(route.method, route.path(), headers=h, json=route.body) for h in strangers]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["error"]["code"] for answer in answers} == {"invalid_api_key"}
    by_address = http.request(route.method, f"{route.path()}?api_key=key-a&key=key-a", json=route.body)
    assert by_address.status_code == 401


@pytest.mark.parametrize("route", guarded("visitor"), ids=str)
def test_a_route_of_the_page_takes_a_visitor_and_nothing_else(
    url: str, http: httpx.Client, sealed: None, route: Route
) -> None:
    address = route.path(str(uuid.uuid4()))
    with visitor(url) as page, visitor(url) as other:
        mine, theirs = page.cookies["parley_visitor"], other.cookies["parley_visitor"]
    swapped = f"{mine.partition('.')[0]}.{theirs.partition('.')[2]}"
    cookies = ["", "x", "A" * 22, f"{'A' * 22}.{'0' * 32}", swapped, mine.partition(".")[0], mine + "0", mine.upper()]
    for cookie in cookies:
        headers = {"Cookie": f"parley_visitor={cookie}", "X-Parley": "1", **A}
        assert http.request(route.method, address, headers=headers, json=route.content()).status_code == 401, cookie
    if route.method != "GET":
        for header in ({}, {"X-Parley": "0"}):
            headers = {"Cookie": f"parley_visitor={mine}", **header}
            answer = http.request(route.method, address, headers=headers, json=route.content())
            assert answer.status_code == 401, "a form of another site could send this"


@pytest.mark.parametrize("bot", ["default", "second"])
def test_a_webhook_takes_its_own_bots_signature_and_nothing_else(http: httpx.Client, sealed: None, bot: str) -> None:
    other = "second" if bot == "default" else "default"
    event, update = slack_event(), telegram_update()
    slack, telegram = f"/webhooks/slack/{bot}", f"/webhooks/telegram/{bot}"
    token = "X-Telegram-Bot-Api-Secret-Token"
    tries: list[tuple[str, bytes, dict[str, str]]] = [
        *((address, content, {}) for address, content in ((slack, event), (telegram, update))),
        *((address, content, A) for address, content in ((slack, event), (telegram, update))),
        (slack, event, slack_headers(event, SLACK_SECRETS[other])),
        (slack, event, slack_headers(event, SLACK_SECRETS[bot], 1.0)),
        (slack, event, slack_headers(slack_event("other text"), SLACK_SECRETS[bot])),
        (slack, event, {token: TELEGRAM_SECRETS[bot]}),
        (telegram, update, {token: TELEGRAM_SECRETS[other]}),
        (telegram, update, {token: ""}),
        (telegram, update, {token: TELEGRAM_SECRETS[bot].upper()}),
        (telegram, update, slack_headers(update, SLACK_SECRETS[bot])),
    ]
    for method in ("POST", "GET"):
        for address, content, headers in tries:
            answer = http.request(method, address, content=content, headers=headers)
            assert answer.status_code == 401, (method, address, headers)


@pytest.mark.parametrize("path", ["/webhooks/slack/third", "/webhooks/none/default", "/webhooks/slack/..%2fdefault"])
def test_a_bot_that_is_not_there_is_404_whatever_is_sent(http: httpx.Client, sealed: None, path: str) -> None:
    event = slack_event()
    for secret in SLACK_SECRETS.values():
        assert http.post(path, content=event, headers=slack_headers(event, secret)).status_code == 404


def test_a_signed_message_reaches_its_own_bot_alone(http: httpx.Client, parts: StandInWiring) -> None:
    event = slack_event()
    headers = slack_headers(event, SLACK_SECRETS["second"])
    assert http.post("/webhooks/slack/second", content=event, headers=headers).status_code == 200
    # No such bot is served, so the message waits in its queue: what counts is whose it is.
    assert until(lambda: parts.conversations.find("slack:T1:C1/17.5")).bot == "second"


def without(answer: httpx.Response, id: str) -> tuple[int, str, dict[str, str]]:
    """What an answer says beside the id that was asked for, of which errors repeat 80 characters."""
    shown = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    return answer.status_code, answer.text.replace(id[:80], "ID"), shown


@pytest.mark.parametrize("route", [r for r in guarded("key") if r.owned], ids=str)
@pytest.mark.parametrize("state", ["thinking", "answered"])
def test_another_callers_response_looks_like_one_that_never_was(
    http: httpx.Client, model: HeldModel, route: Route, state: str
) -> None:
    if state == "thinking":
        model.hold()
    made = http.post("/v1/responses", headers=A, json=say_secret()).json()["id"]
    wanted = {"thinking": "in_progress", "answered": "completed"}[state]
    until(lambda: http.get(f"/v1/responses/{made}", headers=A).json()["status"] == wanted)

    def ask(id: str) -> tuple[int, str, dict[str, str]]:
        return without(http.request(route.method, route.path(id), headers=B, json=route.body), id)

    assert ask(made)[0] == 404
    assert ask(made) == ask(altered(made)) == ask("resp_" + "A" * (len(made) - 5))
    assert http.get(f"/v1/responses/{made}", headers=A).json()["status"] == wanted


def say_secret(conversation: str | None = None) -> dict[str, Any]:
    return {"input": "the secret", "background": True, "conversation": conversation or uuid.uuid4().hex}


def altered(id: str) -> str:
    """The same id with one letter of its signature changed."""
    return f"{id[:8]}{'B' if id[8] == 'A' else 'A'}{id[9:]}"


def test_another_callers_response_cannot_be_answered_nor_its_conversation_joined(
    http: httpx.Client, model: HeldModel
) -> None:
    made = http.post("/v1/responses", headers=A, json=say_secret("mine")).json()["id"]
    until(lambda: http.get(f"/v1/responses/{made}", headers=A).json()["status"] == "completed")

    def follow(id: str) -> tuple[int, str, dict[str, str]]:
        body = {"input": "and?", "previous_response_id": id}
        return without(http.post("/v1/responses", headers=B, json=body), id)

    assert follow(made) == follow(altered(made))
    assert follow(made)[0] == 400
    joined = http.post("/v1/responses", headers=B, json={"input": "what was said?", "conversation": "mine"})
    assert joined.json()["status"] == "completed"
    assert "the secret" not in str(model.asked[-1])


@pytest.mark.parametrize("route", [r for r in guarded("visitor") if r.owned], ids=str)
def test_another_visitors_conversation_looks_like_one_that_never_was(url: str, route: Route) -> None:
    id, unknown = str(uuid.uuid4()), str(uuid.uuid4())
    with visitor(url) as owner, visitor(url) as stranger:
        sent = {"text": "the secret", "client_id": str(uuid.uuid4())}
        assert owner.post(f"/web/conversations/{id}/messages", json=sent).status_code == 202

        def shown() -> int:
            answer = owner.get(f"/web/conversations/{id}")
            return len(answer.json()["messages"]) if answer.status_code == 200 else 0

        until(lambda: shown() == 2)

        def ask(which: str) -> tuple[int, str, dict[str, str]]:
            return without(stranger.request(route.method, route.path(which), json=route.body), which)

        assert ask(id) == ask(unknown)
        assert "the secret" not in ask(id)[1]
        assert shown() == 2


def shelves(parts: StandInWiring, id: str) -> list[Any]:
    """That conversation of every visitor."""
    return [shelf for name, shelf in parts.conversations.all().items() if name.endswith(id)]


def test_a_message_to_another_visitors_conversation_begins_ones_own(url: str, parts: StandInWiring) -> None:
    id = str(uuid.uuid4())
    with visitor(url) as owner, visitor(url) as stranger:
        for client, text in ((owner, "mine"), (stranger, "yours")):
            sent = {"text": text, "client_id": str(uuid.uuid4())}
            client.post(f"/web/conversations/{id}/messages", json=sent)
        until(lambda: len(shelves(parts, id)) == 2)
    for shelf in shelves(parts, id):
        texts = {message.text for message in shelf.messages.values() if message.role == "user"}
        assert len(texts) == 1
