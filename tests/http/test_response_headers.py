"""What every answer tells a browser: of every route, for good and bad requests, of the page and of the API."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from scripts.local.gateway import Gateway, proxy_event
from scripts.local.http_server import HttpRequest
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.http.routes import ROUTES, SECRETS, Route, app_routes, visitor

KEY = {"Authorization": "Bearer key-a"}
PAGE = ("/", "/web/{file}")
MAY_BE_KEPT = {"/web/{file}": "no-cache", "/openapi.json": "public, max-age=3600"}
"""What is the same for everybody: the page's files, asked about each time, and the interface's description."""


@pytest.fixture(scope="module")
def parts() -> StandInWiring:
    return StandInWiring(secrets=SECRETS)


@pytest.fixture(scope="module")
def url(parts: StandInWiring) -> Iterator[str]:
    with StandInRuntime(parts) as runtime:
        yield runtime.url


def answers(http: httpx.Client, page: httpx.Client, route: Route) -> Iterator[httpx.Response]:
    """A route's answers: to somebody who may, to nobody, for what is not there, of a kind that is not taken."""
    client, headers = (page, {}) if route.guard == "visitor" else (http, KEY if route.guard == "key" else {})
    path = route.path(str(uuid.uuid4()))
    yield client.request(route.method, path, headers=headers, json=route.content())
    yield http.request(route.method, path, json=route.content())
    yield client.request(route.method, path.replace("main.js", "none.js"), headers=headers, content=b"{")
    yield client.request(route.method, path, headers={**headers, "Content-Type": "image/png"}, content=b"x")
    yield client.request(route.method, path, headers=headers, content=b"x" * 300_000)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_answer_can_be_run_sniffed_framed_or_kept(url: str, http: httpx.Client, route: Route) -> None:
    with visitor(url) as page:
        found = list(answers(http, page, route))
    for answer in found:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (
            "default-src 'self'" if route.pattern in PAGE and answer.status_code < 405 else "default-src 'none'"
        ) in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["content-type"]
        assert "access-control-allow-origin" not in answer.headers
        kept = MAY_BE_KEPT.get(route.pattern, "no-store") if answer.status_code == 200 else "no-store"
        assert answer.headers["cache-control"] == kept
        assert "strict-transport-security" not in answer.headers, "over plain http it means nothing"


def test_the_list_is_whole() -> None:
    assert app_routes() == {(route.method, route.pattern) for route in ROUTES}


def over_https(method: str, path: str) -> dict[str, str]:
    """The headers of an answer to a browser that came over https, as API Gateway hands its request on."""
    app = importlib.import_module("app").app
    gateway = Gateway(app, lambda: LambdaContext("api_handler", 29, 512, "us-east-1"))
    match = gateway._routes.match(path)
    assert match is not None
    event = proxy_event(HttpRequest(method, path, [], b"", "192.0.2.1"), method, path, "", match, set())
    for headers in (event["headers"], event["multiValueHeaders"]):
        headers["X-Forwarded-Proto"] = ["https"] if headers is event["multiValueHeaders"] else "https"
    return {name.lower(): value for name, value in gateway._invoke(event).headers}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_over_https_the_browser_is_told_to_stay_there(url: str, route: Route) -> None:
    headers = over_https(route.method, route.path(str(uuid.uuid4())))
    assert headers["strict-transport-security"] == "max-age=31536000"
    if "set-cookie" in headers:
        assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(headers["set-cookie"].split("; "))
    assert ("set-cookie" in headers) == (route.pattern == "/")


def test_the_pages_policy_lets_no_inline_script_and_no_markup_from_script_run(http: httpx.Client) -> None:
    policy = dict(part.split(" ", 1) for part in http.get("/").headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy, "script comes from this origin's files alone"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert (policy["object-src"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'none'")
    html = http.get("/").text
    assert html.count("<script") == html.count('<script type="module" src="web/main.js"></script>') == 1
    assert "<style" not in html
    assert " style=" not in html
