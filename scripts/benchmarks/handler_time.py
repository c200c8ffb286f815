"""The handlers' own time, warm: everything between an event and its answer, but no network beyond this machine."""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

from scripts.benchmarks.slack_webhooks import PATH, SECRET, TOKEN, SlackSide, message, signed
from scripts.local.event_pump import sqs_record
from scripts.local.lambda_context import LambdaContext
from scripts.local.stand_in.runtime import QUEUES, REGION, StandInWiring
from scripts.local.stand_in.sqs import PumpQueue


def measure(calls: int) -> float:
    """Median milliseconds of one call."""
    import app
    from chalicelib import wiring

    secret = {"signing_secret": SECRET, "bot_token": TOKEN, "api_url": "http://127.0.0.1:9"}
    parts = StandInWiring(secrets={"bots/default/slack": secret})
    wiring.use(parts)
    times = []
    with contextlib.redirect_stdout(io.StringIO()):
        for number in range(calls):
            event = _event(message(f"{number}.1", 1, "U1", "How do I start it?"))
            begun = time.perf_counter()
            answer = app.app(event, LambdaContext("api_handler", 29, 512, "us-east-1"))
            times.append((time.perf_counter() - begun) * 1000)
            if answer["statusCode"] != 200:
                raise RuntimeError(f"receive answered {answer['statusCode']}")
    parts.endpoint.stop()
    return statistics.median(times[len(times) // 10 :])


def measure_stages(turns: int) -> dict[str, float]:
    """Median milliseconds of each function in a one-step turn; deliver's with a channel's API on loopback."""
    import app
    from chalicelib import wiring

    times: dict[str, list[float]] = {"receive": [], **{function: [] for function in QUEUES}}
    with SlackSide() as slack, contextlib.redirect_stdout(io.StringIO()):
        parts = StandInWiring(secrets={"bots/default/slack": slack.secret})
        wiring.use(parts)
        for number in range(turns):
            webhook = message(f"{number}.1", 1, "U1", "How do I start it?")
            for function, spent in one_turn(app, parts, webhook).items():
                times[function].append(spent)
        parts.endpoint.stop()
    return {function: statistics.median(taken[len(taken) // 10 :]) for function, taken in times.items()}


def one_turn(
    app: Any, parts: StandInWiring, webhook: bytes, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Milliseconds of each function's own time in one turn that a webhook begins. Nothing else may be in the queues."""
    event = _event(webhook)
    begun = clock()
    app.app(event, LambdaContext("api_handler", 29, 512, REGION))
    times = {"receive": (clock() - begun) * 1000}
    for function, name in QUEUES.items():
        times[function] = _work(getattr(app, function), PumpQueue(parts.sqs, name), clock)
    return times


def _work(handler: Callable[[Any, Any], Any], queue: PumpQueue, clock: Callable[[], float]) -> float:
    """Milliseconds of one record's handling, once it is there."""
    while not (records := queue.receive(1)):
        continue
    event = {"Records": [sqs_record(record, queue) for record in records]}
    context = LambdaContext("stage", 30, 512, REGION)
    begun = clock()
    handler(event, context)
    spent = (clock() - begun) * 1000
    queue.delete([record["ReceiptHandle"] for record in records])
    return spent


def _event(body: bytes) -> dict[str, Any]:
    """A webhook as API Gateway hands it over."""
    headers = signed(body)
    path = "/webhooks/{channel}/{bot}"
    return {
        "resource": path,
        "path": PATH,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"channel": "slack", "bot": "default"},
        "stageVariables": None,
        "requestContext": {"httpMethod": "POST", "resourcePath": path, "identity": {"sourceIp": "127.0.0.1"}},
        "body": body.decode(),
        "isBase64Encoded": False,
    }
