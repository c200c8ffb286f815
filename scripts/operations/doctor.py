"""Check a deployment from credentials to an answer, and say what to do about each thing that is wrong.

Asks, and changes nothing. With PARLEY_API_KEY set (scripts/keys create makes one) a test turn goes through the real
stack at the end; it may wake the model up, which costs what a wake-up costs and takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from parley.aws.secrets import texts
from parley.channels.http import JsonPoster
from parley.errors import DeliveryError, Misconfigured
from scripts.deployment.account import check_quota, identify
from scripts.deployment.arguments import add_deployment, explain, say
from scripts.deployment.failures import DeploymentFailed
from scripts.operations.place import LOCAL, Place, open_place
from scripts.operations.status import look, trouble

PROGRAM = "doctor"
GOOD, DOUBTFUL, BAD, SKIPPED = "good", "doubtful", "bad", "skipped"
SIGNS = {GOOD: "ok  ", DOUBTFUL: "?   ", BAD: "BAD ", SKIPPED: "-   "}
COLOURS = {GOOD: "32", DOUBTFUL: "33", BAD: "31", SKIPPED: "2"}


@dataclass(frozen=True)
class Finding:
    """One check's outcome; `advice` is what to do where it is not good."""

    check: str
    state: str
    told: str
    advice: str = ""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when something is bad; 2 when nothing could be checked."""
    parser = argparse.ArgumentParser(
        prog="scripts/doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_deployment(parser)
    parser.add_argument("--url", help="the API's address (default: the stack's; http://127.0.0.1:8000 for local)")
    parser.add_argument("--wait", type=float, default=900, help="seconds that the test turn may take (default: 900)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        findings: list[Finding] = []
        for finding in examine(place, options):
            findings.append(finding)
            if not options.json:
                print(draw(finding, sys.stdout.isatty()), flush=True)
        if options.json:
            print(json.dumps([asdict(finding) for finding in findings]))
        outcome.status = 1 if any(finding.state == BAD for finding in findings) else 0
    return outcome.status


def examine(place: Place, options: argparse.Namespace) -> Iterator[Finding]:
    """Every check, in an order in which each can rely on those before it."""
    account = identify(place.session)
    yield Finding("credentials", GOOD, f"account {account.id} in {account.region} ({account.partition})")
    outputs = place.outputs
    yield Finding("stack", GOOD, f"{place.stack} is there")
    if options.stage != LOCAL:
        yield _quota(place)
    yield from channels(place, options.url or outputs.get("EndpointURL", ""))
    yield from _running(place)
    yield _turn(options.url or outputs.get("EndpointURL") or "http://127.0.0.1:8000", options.wait)


def draw(finding: Finding, colour: bool) -> str:
    """A line, and one of advice below it; in colour on a terminal."""
    sign = SIGNS[finding.state]
    sign = f"\x1b[{COLOURS[finding.state]}m{sign}\x1b[0m" if colour else sign
    advice = f"\n        {finding.advice}" if finding.advice else ""
    return f"{sign} {finding.check:<20} {finding.told}{advice}"


def _quota(place: Place) -> Finding:
    described = place.client("cloudformation").describe_stacks(StackName=place.stack)["Stacks"][0]
    given = {entry["ParameterKey"]: entry["ParameterValue"] for entry in described.get("Parameters", [])}
    instance, most = given.get("InstanceType", "ml.g6.xlarge"), int(given.get("MaxInstances", "1"))
    try:
        remark = check_quota(place.session, instance, most)
    except DeploymentFailed as error:
        return Finding("quota", BAD, str(error), "until then the endpoint cannot start an instance")
    return Finding("quota", DOUBTFUL if remark else GOOD, remark or f"{most} of {instance} may run")


def channels(place: Place, url: str) -> Iterator[Finding]:
    """The signing key, and each channel's credentials by a call that changes nothing."""
    stored = _stored(place)
    key = stored.get("signing-key", {}).get("key", "")
    if not isinstance(key, str) or len(key) < 32:
        yield Finding("signing key", BAD, "it is missing", "scripts/secrets rotate signing-key")
    else:
        yield Finding("signing key", GOOD, "it is set")
    for name, credentials in stored.items():
        parts = name.split("/")
        check = {"slack": _slack, "telegram": _telegram}.get(parts[-1])
        if len(parts) == 3 and check is not None:
            try:
                yield check(name, texts(name, credentials), f"{url.rstrip('/')}/webhooks/{parts[2]}/{parts[1]}")
            except Misconfigured as error:
                yield Finding(name, BAD, str(error), f"scripts/secrets set {name}")
            except DeliveryError as error:
                yield Finding(name, BAD, str(error), "check api_url, and that the platform can be reached from here")
    if not any(name.count("/") == 2 and not name.endswith("/profile") for name in stored):
        yield Finding("channels", SKIPPED, "none has credentials; scripts/secrets set bots/default/slack adds one")


def _stored(place: Place) -> dict[str, dict[str, str]]:
    pages = (
        place.client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=place.secrets_path, Recursive=True, WithDecryption=True)
    )
    found = {}
    for entry in (entry for page in pages for entry in page["Parameters"]):
        try:
            value = json.loads(entry["Value"])
        except (ValueError, RecursionError):
            value = None
        found[entry["Name"].removeprefix(f"{place.secrets_path}/")] = value if isinstance(value, dict) else {}
    return found


def _slack(name: str, credentials: Mapping[str, str], webhook: str) -> Finding:
    url = f"{(credentials.get('api_url') or 'https://slack.com/api').rstrip('/')}/auth.test"
    answer = JsonPoster().post(
        "Slack auth.test", url, {}, {"Authorization": f"Bearer {credentials.get('bot_token', '')}"}
    )
    if answer.document.get("ok"):
        return Finding(name, GOOD, f"the bot is {answer.document.get('user', answer.document.get('user_id'))}")
    told = str(answer.document.get("error", answer.status))
    return Finding(name, BAD, f"Slack says {told}", f"make a new token, then scripts/secrets set {name}")


def _telegram(name: str, credentials: Mapping[str, str], webhook: str) -> Finding:
    base = f"{(credentials.get('api_url') or 'https://api.telegram.org').rstrip('/')}/bot{credentials.get('bot_token')}"
    poster = JsonPoster()
    if not poster.post("Telegram getMe", f"{base}/getMe", {}).document.get("ok"):
        return Finding(name, BAD, "Telegram does not know the token", f"scripts/secrets set {name}")
    told = poster.post("Telegram getWebhookInfo", f"{base}/getWebhookInfo", {}).document.get("result", {})
    registered = str(told.get("url", "")) if isinstance(told, Mapping) else ""
    if registered != webhook:
        advice = f"call setWebhook with {webhook} and the secret_token that scripts/secrets set {name} was given"
        return Finding(name, BAD, f"its webhook is {registered or 'not set'}", advice)
    if error := told.get("last_error_message"):
        return Finding(
            name, DOUBTFUL, f"Telegram's last delivery failed: {error}", "see scripts/logs and the next lines"
        )
    return Finding(name, GOOD, "token and webhook are right")


def _running(place: Place) -> Iterator[Finding]:
    """The endpoint, the queues, the alarms."""
    found = look(place)
    endpoint = found["endpoint"]
    if endpoint is None:
        yield Finding("endpoint", DOUBTFUL, "there is none", "scripts/deploy brings it up; scripts/run has its own")
    elif endpoint["status"] == "InService":
        yield Finding("endpoint", GOOD, f"in service with {endpoint['instances']} instances")
    else:
        yield Finding("endpoint", DOUBTFUL, f"it is {endpoint['status']}", "wait for InService, or see its events")
    words = trouble(found)
    advice = "scripts/redrive list shows dead letters, scripts/logs --turn ID what happened" if words else ""
    yield Finding("queues and alarms", BAD if words else GOOD, "; ".join(words) or "nothing waits for a person", advice)


def _turn(url: str, wait: float, pause: Callable[[float], None] = time.sleep) -> Finding:
    """One question through the real stack."""
    key = os.environ.get("PARLEY_API_KEY")
    if not key:
        return Finding("a test turn", SKIPPED, "PARLEY_API_KEY is not set; scripts/keys create makes one")
    from urllib3 import PoolManager
    from urllib3.exceptions import HTTPError

    http, headers = PoolManager(timeout=30.0, retries=False), {"Authorization": f"Bearer {key}"}
    base = f"{url.rstrip('/')}/v1/responses"
    begun = time.monotonic()
    try:
        answer: Any = http.request("POST", base, json={"input": "hello", "background": True}, headers=headers)
        while True:
            body = answer.json() if answer.status == 200 else {}
            if answer.status != 200:
                return Finding("a test turn", BAD, f"{base} answered {answer.status}", "check --url and PARLEY_API_KEY")
            spent = time.monotonic() - begun
            if body.get("status") not in ("queued", "in_progress"):
                break
            if spent > wait:
                advice = "the model may be out of capacity: look at the alarm NoCapacity and the endpoint"
                return Finding("a test turn", BAD, f"no answer in {spent:.0f} s", advice)
            say(PROGRAM, f"the test turn is {body.get('status')} after {spent:.0f} s")
            pause(min(5.0, 0.5 + spent / 10))
            answer = http.request("GET", f"{base}/{body['id']}", headers=headers)
    except (HTTPError, OSError, ValueError) as error:
        return Finding("a test turn", BAD, f"{base}: {type(error).__name__}", "check --url, and that it can be reached")
    if body.get("status") == "completed":
        return Finding("a test turn", GOOD, f"answered in {spent:.1f} s")
    return Finding("a test turn", BAD, f"it ended as {body.get('status')}", "scripts/status, then scripts/redrive list")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
