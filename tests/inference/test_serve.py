"""The process: SageMaker's contract, starting, failing to start, and stopping."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from engine.engine import Engine
from engine.runner import SlotRunner
from loading import ModelUnavailable, assemble, load
from routes import Service, build
from settings import Settings, read

from tests.inference.engines import engine, poison
from tests.inference.server import DEADLINE, SERVE, Server, user


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SERVE), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "/nowhere/at/all"], "no folder /nowhere/at/all"),
        (["--model", "."], "config.json"),
    ],
)
def test_without_a_model_one_line_says_what_to_do(tmp_path: Path, arguments: list[str], says: str) -> None:
    found = run("--port", "0", *arguments)
    assert found.returncode == 2
    lines = [line for line in found.stderr.splitlines() if line.startswith("serve: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in found.stderr
    assert "ready" not in found.stdout


def test_a_hub_id_without_network_is_one_line_too() -> None:
    found = run("--port", "0", "--model", "nobody/nothing")
    assert found.returncode == 2
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("serve: ")]
    assert "nobody/nothing" in line
    assert "Traceback" not in found.stderr


def test_a_broken_model_folder_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailable) as caught:
        load(Settings(model=str(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_one_line(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = run("--port", str(taken.getsockname()[1]), "--model", str(model_folder))
    assert found.returncode == 2
    assert "Cannot listen on 127.0.0.1" in found.stderr


def test_sigterm_drains_and_ends_cleanly(model_folder: Path, tokenizer: Any) -> None:
    with Server(["--model", str(model_folder), "--threads", "1"]) as server:
        assert server.get("/ping")[0] == 200
        never_end = {str(tokenizer.eos_token_id): -100}
        answers: list[int] = []

        def ask() -> None:
            status, body, _ = server.post(user("Hi", max_tokens=200, logit_bias=never_end))
            answers.extend([status, body["usage"]["completion_tokens"]])

        asking = threading.Thread(target=ask)
        asking.start()
        server.until("running", 1)
        server.process.terminate()
        asking.join(DEADLINE)
        assert answers == [200, 200]
        assert server.wait() == 0
        assert "Traceback" not in server.logged()
        assert "request ended" in server.logged()


def test_as_a_container_it_listens_on_all_addresses_and_sagemakers_port() -> None:
    assert read(["serve", "--model", "m"], {}).host == "0.0.0.0"
    assert read(["serve", "--model", "m"], {"SAGEMAKER_BIND_TO_PORT": "9000"}).port == 9000
    plain = read(["--model", "m"], {"SM_NUM_CPUS": "3"})
    assert (plain.host, plain.port, plain.threads) == ("127.0.0.1", Settings().port, 3)
    assert read(["--model", "m", "--rows", "5"], {"PARLEY_ROWS": "7"}).rows == 5


def test_sigterm_while_the_model_loads_ends_cleanly(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(["--port", str(port), "--model", str(model_folder)])
    server.url = f"http://127.0.0.1:{port}"
    try:
        assert server.answers() == 503  # bound, and the model is not there yet
    finally:
        server.process.terminate()
    assert server.wait() == 0, server.logged()


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--rows", "x"], {}), (["--queue", "0"], {}), (["--reuse-share", "2"], {}), ([], {"PARLEY_ROWS": "many"}),
     (["--port", "70000"], {}), (["train"], {})],
)  # fmt: skip
def test_a_wrong_setting_ends_with_its_name(
    arguments: list[str], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        read(arguments, environment)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


async def _call(app: Any, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": json.dumps(body or {}).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # a client that stays
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    method = "POST" if body else "GET"
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    await asyncio.wait_for(app(scope, receive, send), DEADLINE)
    return sent[0]["status"], json.loads(sent[1]["body"])


def service_on(found: Engine, model: Any, tokenizer: Any) -> Service:
    service = Service(Settings())
    service.use(assemble("tiny", found, model, tokenizer, {}))
    return service


def test_ping_is_503_until_the_model_is_there_and_after_its_thread_died(model: Any, tokenizer: Any) -> None:
    async def story() -> list[int]:
        app = build(Service(Settings()))
        seen = [(await _call(app, path))[0] for path in ("/ping", "/v1/models")]
        found = engine(model)
        app = build(service_on(found, model, tokenizer))
        seen.append((await _call(app, "/ping"))[0])
        found.stop()
        return [*seen, (await _call(app, "/ping"))[0], (await _call(app, "/invocations", user("hi")))[0]]

    assert asyncio.run(story()) == [503, 503, 200, 503, 503]


def test_nan_logits_are_a_500_for_that_request_and_the_next_one_works(model: Any, tokenizer: Any) -> None:
    found = engine(model)
    runner = found._scheduler.runner
    assert isinstance(runner, SlotRunner)
    curse = tokenizer("#", add_special_tokens=False)["input_ids"][0]
    poison(runner, curse)

    async def story() -> tuple[tuple[int, dict[str, Any]], tuple[int, dict[str, Any]]]:
        app = build(service_on(found, model, tokenizer))
        bad, good = await asyncio.gather(
            _call(app, "/invocations", user("a # b", max_tokens=4)),
            _call(app, "/invocations", user("hi", max_tokens=4, logit_bias={str(curse): -100})),
        )
        return bad, good

    bad, good = asyncio.run(story())
    found.stop()
    assert bad[0] == 500
    assert "NaN" in bad[1]["error"]["message"]
    assert bad[1]["error"]["type"] == "server_error"
    assert good[0] == 200


def test_an_error_inside_a_stream_is_its_last_event_and_is_counted(model: Any, tokenizer: Any) -> None:
    found = engine(model)
    runner = found._scheduler.runner
    assert isinstance(runner, SlotRunner)
    poison(runner, tokenizer("#", add_special_tokens=False)["input_ids"][0])
    service = service_on(found, model, tokenizer)
    sent: list[bytes] = []

    async def story() -> None:
        incoming = [{"type": "http.request", "body": json.dumps(user("a # b", stream=True)).encode()}]

        async def receive() -> dict[str, Any]:
            if incoming:
                return incoming.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
        await asyncio.wait_for(build(service)({**scope, "root_path": ""}, receive, send), DEADLINE)

    asyncio.run(story())
    found.stop()
    (*_, last) = [event for event in sent if event]
    assert b'"code":"engine_fault"' in last
    assert service.refused == {"engine_fault": 1}
