"""Whatever reaches /v1: a 4xx that names the field, or a message that every later stage can carry."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.channels.hostile_json import ANYTHING
from tests.fuzz.bodies import CHARACTERS, TEXTS, hostile
from tests.fuzz.bounded import bounded
from tests.fuzz.front import Answer, Front
from tests.fuzz.talks import ANSWER

KEY = {"Authorization": "Bearer key-a"}
RESPONSE = {
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
    "model": "default", "instructions": "Be brief.", "metadata": {"topic": "costs"}, "background": True,
    "previous_response_id": "resp_none", "conversation": {"id": "c"}, "temperature": 0.5, "top_p": 0.9,
    "max_output_tokens": 10, "text": {"format": {"type": "text"}}, "top_logprobs": 0, "user": "u",
}  # fmt: skip
COMPLETION = {
    "model": "default", "messages": [{"role": "system", "content": "y"}, {"role": "user", "content": "x"}],
    "temperature": 0.5, "top_p": 0.9, "max_tokens": 10, "max_completion_tokens": 10, "stop": ["a"], "seed": 7,
    "presence_penalty": 0.1, "frequency_penalty": 0.1, "metadata": {"topic": "costs"}, "n": 1, "logit_bias": {},
}  # fmt: skip
ASKED: dict[str, dict[str, Any]] = {"/v1/responses": RESPONSE, "/v1/chat/completions": COMPLETION}


def plain(path: str) -> dict[str, Any]:
    """A body that is taken: without a place to go on at, of which the full one names two."""
    return {name: value for name, value in ASKED[path].items() if name not in ("previous_response_id", "conversation")}


def check(front: Front, path: str, body: bytes) -> Answer:
    """Ask; the answer, once it is sure that nothing is wrong with the answer and with what it left in the queue."""
    answer = front.ask("POST", path, KEY, body)
    assert answer.is_clean()
    assert answer.counted["Errors"] == 0
    taken = answer.status == 200 or (answer.status == 504 and answer.error()["code"] == "timeout")
    if not taken:
        assert answer.status in (400, 404, 413), answer.body
        assert answer.counted["RequestsRejected"] == 1
        assert answer.error()["message"]
        assert len(answer.body) < 2000, "an answer does not carry its request back"
    assert front.waiting() == int(taken)
    assert front.run("think") == (int(taken), 0), "what was acknowledged can be stored, and be asked of the model"
    return answer


@pytest.mark.parametrize("path", ASKED)
def test_a_body_of_any_kind_is_refused_by_its_field_or_carried_through(front: Front, path: str) -> None:
    @bounded(100)
    @given(hostile(plain(path)) | hostile(ASKED[path]))
    def whatever(body: bytes) -> None:
        check(front, path, body)

    whatever()


@pytest.mark.parametrize("path", ASKED)
def test_one_field_of_any_kind_is_refused_by_its_name(front: Front, path: str) -> None:
    odd = ANYTHING | st.sampled_from([1e-320, 5e-324, -0.0, 1e308, 2**63, 10**400, "x" * 40_000, "\x00", {"": ""}])

    @bounded(100)
    @given(st.sampled_from(sorted(plain(path))), odd)
    def whatever(field: str, value: Any) -> None:
        answer = check(front, path, json.dumps({**plain(path), field: value}).encode())
        if answer.status in (400, 404):
            assert re.split(r"[.\[]", answer.error()["param"])[0] == field

    whatever()


@pytest.mark.parametrize("path", ASKED)
def test_any_text_is_carried_through(front: Front, path: str) -> None:
    @bounded(40)
    @given(TEXTS, TEXTS)
    def whatever(before: str, text: str) -> None:
        said = [{"role": "assistant", "content": before}, {"role": "user", "content": f"x{text}"}]
        name = "input" if "input" in ASKED[path] else "messages"
        assert check(front, path, json.dumps({**plain(path), name: said}).encode()).status in (200, 504)

    whatever()


@bounded(60)
@given(CHARACTERS | TEXTS | st.just("y" * 5000))
def test_an_unknown_field_is_named_whatever_its_name_is(front: Front, name: str) -> None:
    assert check(front, "/v1/responses", json.dumps({"input": "x", f"x{name}": 1}).encode()).status == 400


ROUTES = [
    ("POST", "/v1/responses"), ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/{}"),
    ("GET", "/v1/responses/{}"), ("DELETE", "/v1/responses/{}"), ("POST", "/v1/responses/{}/cancel"),
    ("POST", "/v1/responses/{}/feedback"),
]  # fmt: skip
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
IDS = TEXTS.map(lambda text: quote(text.encode(errors="replace"), safe="") or "x") | st.sampled_from(
    ["resp_", "resp_AAAA", "resp_" + "A" * 3000, "resp_%00", "..", "%2e%2e%2f"]
)


@bounded(80)
@given(st.sampled_from(ROUTES), IDS, LATIN | LATIN.map(lambda text: f"Bearer {text}"), hostile(RESPONSE))
def test_without_a_key_nothing_happens(front: Front, route: tuple[str, str], id: str, key: str, body: bytes) -> None:
    answer = front.ask(route[0], route[1].replace("{}", id), {"Authorization": key}, body)
    assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")
    assert answer.counted["RequestsRejected"] == 1
    assert front.waiting() == 0


@bounded(50)
@given(st.sampled_from([route for route in ROUTES if "{}" in route[1]]), IDS)
def test_an_id_of_any_kind_is_not_found(front: Front, route: tuple[str, str], id: str) -> None:
    answer = front.ask(route[0], route[1].replace("{}", id), KEY)
    assert answer.status == 404
    assert answer.is_clean()
    assert answer.counted["RequestsRejected"] == 1


@bounded(60)
@given(LATIN, LATIN)
def test_headers_of_any_kind_change_nothing(front: Front, kind: str, repeat: str) -> None:
    headers = {**KEY, "Content-Type": kind, "Idempotency-Key": repeat, "Accept": kind}
    answer = front.ask("POST", "/v1/responses", headers, b'{"input": "x", "background": true}')
    assert answer.status == 200
    assert front.run("think")[1] == 0


@pytest.mark.parametrize(
    ("entries", "text"), [(1, "y" * 250_000), (6000, "y"), (1, "\x01" * 40_000), (1, "\uffff" * 86_000)]
)
def test_an_answer_to_an_old_response_fits_the_table_whatever_both_bring(front: Front, entries: int, text: str) -> None:
    """A branch takes what was said before along, a caller may bring as much again, and so on."""

    def say(previous: str | None, entries: int = 0, text: str = "") -> str:
        said = [{"role": "assistant", "content": text}] * entries
        body = {
            "input": [*said, {"role": "user", "content": "x"}],
            "background": True,
            "previous_response_id": previous,
        }
        answer = front.ask(
            "POST", "/v1/responses", KEY, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        )
        assert answer.status == 200
        assert front.run("think") == (1, 0)
        front.finish(front.calls.asked[-1], json.dumps(ANSWER).encode())
        assert front.run("reply") == (1, 0)
        id: str = json.loads(answer.body)["id"]
        return id

    old = say(None, entries, text[:190_000])
    for _ in range(6):
        say(old)
        old = say(old, entries, text)
