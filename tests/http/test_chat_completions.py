"""/v1/chat/completions and /v1/models as the official client uses them."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from scripts.local.stand_in.runtime import StandInRuntime, StandInWiring
from tests.http.conftest import HeldModel


def test_a_completion_is_answered_from_the_messages_alone(client: OpenAI, model: HeldModel) -> None:
    for _ in range(2):
        completion = client.chat.completions.create(
            model="default",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "1"},
                {"role": "user", "content": "two"},
            ],
            temperature=0,
            stop="x",
            seed=3,
            max_completion_tokens=9,
        )
        assert completion.choices[0].message.content == "two"
        assert completion.choices[0].finish_reason == "stop"
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 1
    assert model.asked[0] == model.asked[1]
    assert [m["content"] for m in model.asked[0]["messages"]] == ["Be brief.", "one", "1", "two"]
    assert {"temperature": 0, "stop": ["x"], "seed": 3, "max_tokens": 9}.items() <= model.asked[0].items()


def test_a_failed_model_is_an_error_that_clients_do_not_repeat(url: str, model: HeldModel) -> None:
    model.fail = True
    client = OpenAI(base_url=f"{url}/v1", api_key="key-a", max_retries=2)
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="default", messages=[{"role": "user", "content": "x"}])
    assert failed.value.code == "model_failed"
    assert len(model.asked) == 3, "the attempts of one turn, not of three requests"


def test_a_completion_that_runs_out_of_time_is_504(model: HeldModel) -> None:
    model.hold()
    with StandInRuntime(StandInWiring(model, wait_seconds=0.2)) as runtime:
        client = OpenAI(base_url=f"{runtime.url}/v1", api_key="key-a", max_retries=2)
        with pytest.raises(openai.InternalServerError) as late:
            client.chat.completions.create(model="default", messages=[{"role": "user", "content": "x"}])
        assert late.value.status_code == 504
        model.release()


def test_models_are_the_bots(client: OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["default"]
    assert client.models.retrieve("default").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
