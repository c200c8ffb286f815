"""What a post to a platform's API comes back with: patience, answers, refusals."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from parley.channels import http
from parley.channels.http import PATIENCE_SECONDS, JsonPoster
from parley.errors import ChannelBusy, ChannelRefused
from tests.channels.platforms import Answer, SlackApi
from tests.channels.webhook_requests import NOW


@pytest.fixture
def poster() -> JsonPoster:
    return JsonPoster(clock=lambda: NOW)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/bot-secret/x"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("1.5", 1.5),
        ("-5", 0),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("soon", PATIENCE_SECONDS),
        ("", PATIENCE_SECONDS),
        ("nan", PATIENCE_SECONDS),
        ("9" * 400, PATIENCE_SECONDS),
        ("Fri, 99 Foo 2023 99:99:99 GMT", PATIENCE_SECONDS),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_a_date(
    poster: JsonPoster, slack_api: SlackApi, status: int, header: str, seconds: float
) -> None:
    slack_api.script(Answer(status, {}, {"Retry-After": header}))
    with pytest.raises(ChannelBusy) as busy:
        poster.post("Test", slack_api.url, {})
    assert busy.value.retry_after == seconds


@pytest.mark.parametrize("told", [True, None, "x", [], -1, 1e400])
def test_strange_parameters_do_no_harm(poster: JsonPoster, slack_api: SlackApi, told: object) -> None:
    slack_api.script(Answer(429, {"parameters": {"retry_after": told}}), Answer(429, {"parameters": told}))
    for _ in range(2):
        with pytest.raises(ChannelBusy) as busy:
            poster.post("Test", slack_api.url, {})
        assert 0 <= busy.value.retry_after <= PATIENCE_SECONDS


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"\xff", b"[" * 100_000])
def test_a_success_that_is_no_json_object_came_from_something_in_between(
    poster: JsonPoster, slack_api: SlackApi, raw: bytes
) -> None:
    slack_api.script(Answer(200, raw=raw))
    with pytest.raises(ChannelBusy, match="without a JSON object"):
        poster.post("Test", slack_api.url, {})


def test_a_refusal_without_json_keeps_its_status(poster: JsonPoster, slack_api: SlackApi) -> None:
    slack_api.script(Answer(403, raw=b"<html>"))
    answer = poster.post("Test", slack_api.url, {})
    assert (answer.status, answer.document) == (403, {})


def test_a_redirect_is_not_followed(poster: JsonPoster, slack_api: SlackApi) -> None:
    slack_api.script(Answer(302, {}, {"Location": f"{slack_api.url}/elsewhere"}))
    assert poster.post("Test", slack_api.url, {}).status == 302
    assert len(slack_api.calls) == 1


def test_an_endless_answer_is_read_only_so_far(poster: JsonPoster, slack_api: SlackApi) -> None:
    slack_api.script(Answer(200, raw=b" " * (http.LARGEST_ANSWER + 10)))
    with pytest.raises(ChannelBusy, match="without a JSON object"):
        poster.post("Test", slack_api.url, {})
    assert poster.post("Test", slack_api.url, {}).status == 200, "the next call is not served the rest"


def test_a_server_that_says_nothing_is_waited_for_only_so_long(
    poster: JsonPoster, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.05)
    with pytest.raises(ChannelBusy, match="ReadTimeoutError") as busy:
        poster.post("Test", silent, {})
    assert "secret" not in str(busy.value)


def test_where_nobody_listens_the_platform_is_busy(poster: JsonPoster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(ChannelBusy, match="no answer"):
        poster.post("Test", address, {})


@pytest.mark.parametrize("address", ["", "slack.com/api", "ftp://x/y", "http://", "http://[::1", "http://x:port/"])
def test_an_address_that_is_none_is_refused(poster: JsonPoster, address: str) -> None:
    with pytest.raises(ChannelRefused):
        poster.post("Test", address, {})


def test_connections_are_kept_for_the_next_post(poster: JsonPoster, slack_api: SlackApi) -> None:
    for _ in range(3):
        poster.post("Test", slack_api.url, {})
    pool = poster._connections().connection_from_url(slack_api.url)
    assert pool.num_connections == 1


@pytest.mark.parametrize("module", ["slack", "telegram"])
def test_receiving_loads_neither_urllib3_nor_the_converters(module: str) -> None:
    code = (
        f"import sys, parley.channels.{module}; "
        "print([m for m in sys.modules if m.partition('.')[0] in ('urllib3', 'boto3', 'slack_sdk')"
        " or m.endswith(('.spans', '.blocks', '.channels.markdown'))])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == "[]", loaded.stderr
