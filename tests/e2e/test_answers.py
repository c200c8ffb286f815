"""The embedded model's answers, by every way in."""

from __future__ import annotations

import json
import uuid

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.channels.platforms import SlackApi, TelegramApi
from tests.e2e.conftest import SLACK_SECRET, TELEGRAM_SECRET, Running, mention
from tests.waiting import until


def test_health(system: Running) -> None:
    assert httpx.get(f"{system.url}/health").json() == {"status": "ok"}


@pytest.mark.parametrize("question", ["What can you do?", "Parley 是什么？"])
def test_the_openai_client_gets_an_answer_about_parley(client: OpenAI, question: str) -> None:
    response = client.responses.create(model="default", input=question)
    assert response.status == "completed"
    assert "Parley" in response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens > 1


def test_chat_completions_answers_too(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hello!"}])
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"


def test_a_background_response_comes_to_its_end(client: OpenAI) -> None:
    response = client.responses.create(input="What can you do?", background=True, metadata={"a": "b"})
    assert response.status == "queued"
    done = until(lambda: r if (r := client.responses.retrieve(response.id)).status == "completed" else None)
    assert done.output_text
    assert done.metadata == {"a": "b"}
    follow = client.responses.create(input="Thanks!", previous_response_id=response.id)
    assert follow.status == "completed"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_wrong_key_is_refused(system: Running) -> None:
    with pytest.raises(openai.AuthenticationError):
        system.client("wrong").responses.create(input="x")


def test_slack_gets_its_answer(system: Running, slack: SlackApi) -> None:
    before = len(slack.calls)
    for _ in range(2):
        mention(system, "hello", "55.1")
    call = slack.wait_for_calls(before + 1, 30)[-1]
    assert (call.body["channel"], call.body["thread_ts"]) == ("C9", "55.1")
    assert call.body["text"]


def test_telegram_gets_its_answer(system: Running, telegram: TelegramApi) -> None:
    before = len(telegram.calls)
    sender, chat = {"id": 7, "is_bot": False, "first_name": "A"}, {"id": 77, "type": "private"}
    update = {"update_id": 5, "message": {"message_id": 5, "date": 1, "from": sender, "chat": chat, "text": "你好"}}
    headers = {"X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRET}
    answer = httpx.post(f"{system.url}/webhooks/telegram/default", json=update, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert telegram.wait_for_calls(before + 1, 30)[-1].body["text"]


def test_the_page_lists_its_visitors_conversation(system: Running) -> None:
    with httpx.Client(base_url=system.url, headers={"X-Parley": "1"}) as page:
        assert page.get("/").status_code == 200
        id = str(uuid.uuid4())
        page.post(f"/web/conversations/{id}/messages", json={"client_id": str(uuid.uuid4()), "text": "Hello"})
        until(lambda: len(page.get(f"/web/conversations/{id}").json().get("messages", [])) == 2)
        listed = until(lambda: page.get("/web/conversations").json()["conversations"])
        assert [entry["id"] for entry in listed] == [id]


def test_no_message_text_and_no_secret_is_in_the_logs(system: Running, client: OpenAI) -> None:
    metadata = {"k": "glockenspiel-canary"}
    client.responses.create(input="xylophone-canary", instructions="marimba-canary", metadata=metadata)
    client.responses.create(input="x", extra_headers={"X-Any": "1"})
    for log in (system.data / "logs").iterdir():
        text = log.read_text(errors="replace")
        for secret in ("canary", "e2e-key", SLACK_SECRET, "xoxb-e2e", "e2e-token", TELEGRAM_SECRET):
            assert secret not in text, f"{secret} in {log.name}"


def test_one_correlation_id_runs_through_all_stages(system: Running, client: OpenAI) -> None:
    conversation = f"trace-{uuid.uuid4().hex}"
    client.responses.create(input="hello", conversation=conversation)

    def stages() -> dict[str, set[str]] | None:
        found: dict[str, set[str]] = {}
        for line in (system.data / "logs/lambda.log").read_text().splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if conversation in entry.get("conversation", ""):
                found.setdefault(entry["correlation_id"], set()).add(entry["stage"])
        return found if any({"receive", "think", "reply"} <= seen for seen in found.values()) else None

    assert len(until(stages)) == 1
