"""The web page's own API: a visitor's conversations, and nobody else's."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2 as httpx
import pytest

from scripts.local.stand_in.runtime import StandInWiring
from tests.http.conftest import HeldModel
from tests.waiting import until

HEADER = {"X-Parley": "1"}


@pytest.fixture
def visitor(http: httpx.Client) -> httpx.Client:
    http.get("/")
    http.headers.update(HEADER)
    return http


def say(visitor: httpx.Client, id: str, text: str, client_id: str | None = None) -> httpx.Response:
    body = {"client_id": client_id or str(uuid.uuid4()), "text": text}
    return visitor.post(f"/web/conversations/{id}/messages", json=body)


def answered(visitor: httpx.Client, id: str, turn: int = 1) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = visitor.get(f"/web/conversations/{id}")
        if shown.status_code == 404:
            return None
        seen: dict[str, Any] = shown.json()
        over = seen["turn"]["number"] == turn and seen["turn"]["state"] not in ("waking", "thinking")
        return seen if over else None

    return until(look)


def test_the_page_comes_with_its_headers_and_a_cookie_no_script_can_read(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "set-cookie" not in http.get("/").headers


def test_over_https_the_cookie_is_secure(http: httpx.Client) -> None:
    from chalicelib.visitors import new_cookie

    assert "; Secure" in new_cookie(b"k", True)
    assert "; Secure" not in new_cookie(b"k", False)


def test_files_are_served_by_their_exact_names_and_revalidated(http: httpx.Client) -> None:
    file = http.get("/web/main.js")
    assert file.status_code == 200
    assert file.headers["content-type"].startswith("text/javascript")
    assert http.get("/web/main.js", headers={"If-None-Match": file.headers["etag"]}).status_code == 304
    for name in ("nothing.js", "..%2Fwiring.py", "wiring.py", "%2e%2e%2fapp.py"):
        assert http.get(f"/web/{name}").status_code == 404


def test_a_message_is_answered_in_its_conversation(visitor: httpx.Client) -> None:
    id, client_id = str(uuid.uuid4()), str(uuid.uuid4())
    sent = say(visitor, id, "hello **you**", client_id)
    assert sent.status_code == 202
    assert sent.json() == {"id": id, "client_id": client_id}
    seen = answered(visitor, id)
    assert [(m["role"], m["text"], m["turn"]) for m in seen["messages"]] == [
        ("user", "hello **you**", 1), ("assistant", "hello **you**", 1),
    ]  # fmt: skip
    assert seen["messages"][0]["client_id"] == client_id
    assert seen["turn"] == {"number": 1, "state": "delivered", "error": None, "estimate": None}
    assert seen["title"] == "hello **you**"
    assert seen["earlier"] is False


def test_the_same_message_sent_again_is_one_message(visitor: httpx.Client, model: HeldModel) -> None:
    id, client_id = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(3):
        say(visitor, id, "hello", client_id)
    assert len(answered(visitor, id)["messages"]) == 2
    assert len(model.asked) == 1


def test_conversations_are_listed_newest_first_and_can_be_deleted(visitor: httpx.Client) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for id in ids:
        say(visitor, id, f"about {id}")
        answered(visitor, id)
    listed = visitor.get("/web/conversations").json()["conversations"]
    assert [entry["id"] for entry in listed] == ids[::-1]
    assert listed[0]["title"] == f"about {ids[2]}"
    assert visitor.delete(f"/web/conversations/{ids[1]}").json() == {"deleted": True}
    assert visitor.get(f"/web/conversations/{ids[1]}").status_code == 404
    assert len(visitor.get("/web/conversations").json()["conversations"]) == 2


def test_older_messages_come_in_pages(visitor: httpx.Client, parts: StandInWiring) -> None:
    id = str(uuid.uuid4())
    for number in range(1, 31):
        say(visitor, id, f"m{number}")
        answered(visitor, id, number)
    newest = visitor.get(f"/web/conversations/{id}").json()
    assert newest["earlier"] is True
    assert len(newest["messages"]) == 50
    older = visitor.get(f"/web/conversations/{id}", params={"before": newest["messages"][0]["sequence"]}).json()
    assert [m["sequence"] for m in older["messages"]] == list(range(1, 11))
    assert older["earlier"] is False


def test_the_state_says_whether_the_model_sleeps_or_thinks(
    visitor: httpx.Client, model: HeldModel, parts: StandInWiring
) -> None:
    model.hold()
    id = str(uuid.uuid4())
    say(visitor, id, "hello")

    def state() -> str | None:
        shown = visitor.get(f"/web/conversations/{id}")
        return shown.json()["turn"]["state"] if shown.status_code == 200 else None

    assert until(state) == "thinking"
    parts.backend.awake = lambda: False  # type: ignore[method-assign]
    assert state() == "waking"


def test_cancel_ends_the_turn(visitor: httpx.Client, model: HeldModel) -> None:
    model.hold()
    id = str(uuid.uuid4())
    say(visitor, id, "hello")
    until(lambda: model.asked)
    assert visitor.post(f"/web/conversations/{id}/cancel", json={}).json() == {"cancelled": True}
    assert answered(visitor, id)["turn"]["state"] == "cancelled"
    assert visitor.post(f"/web/conversations/{id}/cancel", json={}).json() == {"cancelled": False}


def test_a_failed_turn_shows_its_notice(visitor: httpx.Client, model: HeldModel) -> None:
    model.fail = True
    id = str(uuid.uuid4())
    say(visitor, id, "hello")
    turn = answered(visitor, id)["turn"]
    assert turn["state"] == "failed"
    assert "Sorry" in turn["error"]


def test_a_thumb_is_kept_shown_again_and_taken_back(visitor: httpx.Client) -> None:
    id = str(uuid.uuid4())
    say(visitor, id, "hello")
    answer = answered(visitor, id)["messages"][1]
    assert answer["feedback"] is None
    address = f"/web/conversations/{id}/messages/{answer['sequence']}/feedback"
    for rating in ("up", "down", "down", None, "up"):
        kept = visitor.post(address, json={"rating": rating})
        assert (kept.status_code, kept.json()) == (200, {"sequence": 2, "feedback": rating})
        assert [m["feedback"] for m in answered(visitor, id)["messages"]] == [None, rating]
    visitor.delete(f"/web/conversations/{id}")
    assert visitor.post(address, json={"rating": "up"}).status_code == 404
    assert visitor.get(f"/web/conversations/{id}").status_code == 404


@pytest.mark.parametrize(
    ("sequence", "body", "status"),
    [
        ("1", {"rating": "up"}, 404),
        ("3", {"rating": "up"}, 404),
        ("-1", {"rating": "up"}, 400),
        ("x", {"rating": "up"}, 400),
        ("2", {"rating": "meh"}, 400),
        ("2", {}, 400),
        ("2", [], 400),
    ],
)
def test_a_thumb_for_no_answer_or_of_no_kind_is_refused(
    visitor: httpx.Client, parts: StandInWiring, sequence: str, body: Any, status: int
) -> None:
    id = str(uuid.uuid4())
    say(visitor, id, "hello")
    answered(visitor, id)
    refused = visitor.post(f"/web/conversations/{id}/messages/{sequence}/feedback", json=body)
    assert (refused.status_code, bool(refused.json()["error"]["message"])) == (status, True)
    (shelf,) = parts.conversations.all().values()
    assert {message.feedback for message in shelf.messages.values()} == {None}


def test_another_visitor_sees_nothing_of_it(visitor: httpx.Client, url: str) -> None:
    id = str(uuid.uuid4())
    say(visitor, id, "secret")
    answered(visitor, id)
    with httpx.Client(base_url=url, headers=HEADER) as stranger:
        stranger.get("/")
        assert stranger.get(f"/web/conversations/{id}").status_code == 404
        assert stranger.get("/web/conversations").json() == {"conversations": []}
        stranger.delete(f"/web/conversations/{id}")
        assert stranger.post(f"/web/conversations/{id}/cancel", json={}).status_code == 404
    assert len(answered(visitor, id)["messages"]) == 2


def test_without_a_cookie_of_ours_there_is_nothing(url: str, visitor: httpx.Client, parts: StandInWiring) -> None:
    mine = visitor.cookies["parley_visitor"]
    other = "A" * 22 + "." + mine.partition(".")[2]
    for cookie in ("", "parley_visitor=x", f"parley_visitor={other}", "parley_visitor=é.é"):
        headers = {b"Cookie": cookie.encode(), b"X-Parley": b"1"}
        assert httpx.get(f"{url}/web/conversations", headers=headers).status_code == 401
        sent = httpx.post(f"{url}/web/conversations/{uuid.uuid4()}/messages", headers=headers, json={"text": "x"})
        assert sent.status_code == 401
    assert parts.conversations.all() == {}


def test_what_changes_something_needs_the_pages_own_header(http: httpx.Client, parts: StandInWiring) -> None:
    http.get("/")
    assert say(http, str(uuid.uuid4()), "x").status_code == 401
    assert http.delete(f"/web/conversations/{uuid.uuid4()}").status_code == 401
    assert parts.sqs.size("inbox.fifo") == 0


AN_ID = "0b7c1f5e-5d0f-4a86-9d3c-0d2f7a1c9e44"


@pytest.mark.parametrize(
    ("id", "body", "status"),
    [
        ("not-a-uuid", {"client_id": AN_ID, "text": "x"}, 400),
        (AN_ID, {"client_id": AN_ID, "text": ""}, 400),
        (AN_ID, {"client_id": AN_ID, "text": 5}, 400),
        (AN_ID, {"client_id": "x", "text": "x"}, 400),
        (AN_ID, {"text": "x"}, 400),
        (AN_ID, {"client_id": AN_ID, "text": "x" * 32_001}, 400),
        (AN_ID, [], 400),
        (AN_ID, {"text": "x" * 300_000}, 413),
    ],
)
def test_a_bad_message_is_refused_with_a_reason(visitor: httpx.Client, id: str, body: Any, status: int) -> None:
    answer = visitor.post(f"/web/conversations/{id}/messages", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
