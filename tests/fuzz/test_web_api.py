"""Whatever reaches the page's own API: no visitor without our signature, no other site, no id of another form."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from chalicelib import visitors
from tests.channels.hostile_json import ANYTHING
from tests.fuzz.bodies import TEXTS, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Answer, Front

ID = str(uuid.UUID(int=0xABC))
MESSAGE = {"text": "hello", "client_id": ID}
ROUTES = [
    ("GET", "/web/conversations"), ("GET", "/web/conversations/{}"), ("DELETE", "/web/conversations/{}"),
    ("POST", "/web/conversations/{}/messages"), ("POST", "/web/conversations/{}/cancel"),
    ("POST", "/web/conversations/{}/messages/2/feedback"),
]  # fmt: skip
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30)
IDS = TEXTS.map(lambda text: quote(text.encode(errors="replace"), safe="") or "x") | st.just(ID.upper())
COOKIE = visitors.new_cookie(b"k" * 32, False).partition(";")[0]


@st.composite
def cookies(draw: st.DrawFn) -> str:
    """A Cookie header that we did not write, or no longer as we did."""
    spoilt = st.tuples(st.integers(15, len(COOKIE) - 1), st.sampled_from('aZ0_-.;,="\x00é ')).map(
        lambda change: COOKIE[: change[0]] + change[1] + COOKIE[change[0] + 1 :]
    )
    return draw(LATIN | LATIN.map(lambda text: f"parley_visitor={text}") | spoilt.filter(lambda text: text != COOKIE))


def is_refused(answer: Answer, front: Front, *statuses: int) -> None:
    assert answer.status in statuses, answer.body
    assert answer.is_clean()
    assert answer.error()["message"]
    assert answer.counted["RequestsRejected"] == 1
    assert front.waiting() == 0


@bounded(80)
@given(st.sampled_from(ROUTES), IDS, cookies(), hostile(MESSAGE))
def test_a_cookie_that_we_did_not_sign_is_nobody(
    front: Front, route: tuple[str, str], id: str, cookie: str, body: bytes
) -> None:
    answer = front.ask(route[0], route[1].replace("{}", id), {"Cookie": cookie, "X-Parley": "1"}, body)
    is_refused(answer, front, 401)


@bounded(40)
@given(st.sampled_from(ROUTES[2:]), LATIN.filter(lambda text: text.strip() != "1"), hostile(MESSAGE))
def test_another_site_changes_nothing(front: Front, route: tuple[str, str], mark: str, body: bytes) -> None:
    answer = front.ask(route[0], route[1].replace("{}", ID), {"Cookie": COOKIE, "X-Parley": mark}, body)
    is_refused(answer, front, 401)


@bounded(60)
@given(st.sampled_from(ROUTES[1:]), IDS)
def test_an_id_of_another_form_is_refused(front: Front, route: tuple[str, str], id: str) -> None:
    body = json.dumps(MESSAGE).encode()
    answer = front.ask(route[0], route[1].replace("{}", id), {"Cookie": COOKIE, "X-Parley": "1"}, body)
    is_refused(answer, front, 400)


@bounded(100)
@given(hostile(MESSAGE) | st.tuples(st.sampled_from(sorted(MESSAGE)), ANYTHING | TEXTS).map(
    lambda change: json.dumps({**MESSAGE, change[0]: change[1]}).encode()
))  # fmt: skip
def test_a_body_is_refused_by_its_field_or_carried_through(front: Front, body: bytes) -> None:
    headers = {"Cookie": COOKIE, "X-Parley": "1"}
    answer = front.ask("POST", f"/web/conversations/{ID}/messages", headers, body)
    if answer.status != 202:
        is_refused(answer, front, 400, 413)
    handled, failed = front.run("think")
    assert handled <= int(answer.status == 202), "a repeat of a client_id is dropped by the queue"
    assert failed == 0


@bounded(80)
@given(TEXTS.map(lambda text: quote(text.encode(errors="replace"))) | st.integers().map(str))
def test_a_place_in_the_history_is_a_number_or_refused(front: Front, before: str) -> None:
    headers = {"Cookie": COOKIE, "X-Parley": "1"}
    front.ask("POST", f"/web/conversations/{ID}/messages", headers, json.dumps(MESSAGE).encode())
    front.run("think")
    answer = front.ask("GET", f"/web/conversations/{ID}?before={before}&before={before}", headers)
    if answer.status != 200:
        is_refused(answer, front, 400)
    shown: dict[str, Any] = json.loads(answer.body)
    assert "error" in shown or shown["id"] == ID
