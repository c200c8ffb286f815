"""/v1/responses as the official client uses it."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from parley.aws import items
from scripts.benchmarks.request_meters import size
from scripts.local.stand_in.runtime import StandInWiring
from tests.http.conftest import HeldModel
from tests.waiting import until


def finished(client: OpenAI, id: str) -> str:
    """Wait for the end of a response; its status."""
    return until(lambda: s if (s := client.responses.retrieve(id).status) not in ("queued", "in_progress") else None)


def test_a_string_is_answered(client: OpenAI) -> None:
    response = client.responses.create(model="default", input="hello")
    assert response.status == "completed"
    assert response.output_text == "hello"
    assert response.id.startswith("resp_")
    assert response.model == "default"
    assert response.usage is not None
    assert response.usage.output_tokens == 1


def test_a_branch_takes_along_only_what_fits_one_item_of_the_table(client: OpenAI, parts: StandInWiring) -> None:
    long: Any = [{"role": "user", "content": "x" * 31_000} for _ in range(8)]
    first = client.responses.create(input=long)
    client.responses.create(input="more", previous_response_id=first.id)
    branch = client.responses.create(input=long, previous_response_id=first.id)
    assert branch.status == "completed"
    stored = [message for shelf in parts.conversations.all().values() for message in shelf.messages.values()]
    sizes = [size(items.from_message("c", message)) for message in stored]
    assert max(sizes) < 400 * 1024, "DynamoDB refuses more, which moto does not"
    said = [entry.text for entry in stored[-2].preface]
    assert said[-7:] == ["x" * 31_000] * 7, "what the caller sends itself goes along whole"
    assert len(said) > 7


def test_the_model_may_be_left_out(client: OpenAI) -> None:
    assert client.responses.create(input="hello").output_text == "hello"


def test_a_list_goes_to_the_model_as_it_is(client: OpenAI, model: HeldModel) -> None:
    client.responses.create(
        input=[
            {"role": "developer", "content": "Speak Latin."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "unus"},
            {"role": "user", "content": [{"type": "input_text", "text": "two"}]},
        ]
    )
    said = [(m["role"], m["content"]) for m in model.asked[0]["messages"]]
    assert said == [("system", "Speak Latin."), ("user", "one"), ("assistant", "unus"), ("user", "two")]


def test_instructions_take_the_place_of_the_bots_for_this_response_only(client: OpenAI, model: HeldModel) -> None:
    first = client.responses.create(input="one", instructions="Be a pirate.")
    client.responses.create(input="two", previous_response_id=first.id)
    assert [asked["messages"][0]["content"] for asked in model.asked] == ["Be a pirate.", "You are Parley."]
    assert first.instructions == "Be a pirate."


def test_metadata_and_sampling_come_back(client: OpenAI, model: HeldModel) -> None:
    response = client.responses.create(
        input="hello", metadata={"ticket": "7"}, temperature=0.5, top_p=0.9, max_output_tokens=20
    )
    for seen in (response, client.responses.retrieve(response.id)):
        assert seen.metadata == {"ticket": "7"}
        assert (seen.temperature, seen.top_p, seen.max_output_tokens) == (0.5, 0.9, 20)
    assert {"temperature": 0.5, "top_p": 0.9, "max_tokens": 20}.items() <= model.asked[0].items()


def test_in_the_background_it_is_queued_and_can_be_fetched(client: OpenAI, model: HeldModel) -> None:
    model.hold()
    response = client.responses.create(input="hello", background=True)
    assert response.status == "queued"
    until(lambda: model.asked)
    assert client.responses.retrieve(response.id).status == "in_progress"
    model.release()
    assert finished(client, response.id) == "completed"
    assert client.responses.retrieve(response.id).output_text == "hello"
    assert client.responses.retrieve(response.id).background is True


def test_a_conversation_goes_on_from_the_previous_response(client: OpenAI, model: HeldModel) -> None:
    first = client.responses.create(input="one")
    second = client.responses.create(input="two", previous_response_id=first.id)
    assert [m["content"] for m in model.asked[-1]["messages"]] == ["You are Parley.", "one", "one", "two"]
    assert second.previous_response_id == first.id


def test_an_older_response_can_be_answered_again_without_what_came_after(client: OpenAI, model: HeldModel) -> None:
    first = client.responses.create(input="one")
    client.responses.create(input="two", previous_response_id=first.id)
    branch = client.responses.create(input="other two", previous_response_id=first.id)
    assert [m["content"] for m in model.asked[-1]["messages"]] == ["You are Parley.", "one", "one", "other two"]
    client.responses.create(input="other three", previous_response_id=branch.id)
    said = [m["content"] for m in model.asked[-1]["messages"]]
    assert said == ["You are Parley.", "one", "one", "other two", "other two", "other three"]


def test_a_named_conversation_is_the_callers_own(client: OpenAI, other: OpenAI, model: HeldModel) -> None:
    client.responses.create(input="secret", conversation="notes")
    assert client.responses.create(input="again", conversation="notes").conversation is not None
    assert len(model.asked[-1]["messages"]) == 4
    other.responses.create(input="mine", conversation="notes")
    assert "secret" not in str(model.asked[-1])


def test_cancel_ends_a_response_in_progress(client: OpenAI, model: HeldModel) -> None:
    model.hold()
    response = client.responses.create(input="hello", background=True)
    until(lambda: model.asked)
    assert client.responses.cancel(response.id).status == "cancelled"
    model.release()
    assert client.responses.retrieve(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).output_text == ""


def test_cancel_of_a_waiting_message_leaves_the_turn_before_it_alone(client: OpenAI, model: HeldModel) -> None:
    model.hold()
    first = client.responses.create(input="one", background=True, conversation="c")
    until(lambda: model.asked)
    second = client.responses.create(input="two", background=True, conversation="c")
    assert client.responses.cancel(second.id).status == "cancelled"
    model.release()
    assert finished(client, first.id) == "completed"
    assert len(model.asked) == 1


def test_cancel_of_a_finished_response_gives_it_back_unchanged(client: OpenAI) -> None:
    response = client.responses.create(input="hello")
    assert client.responses.cancel(response.id).status == "completed"


def test_a_deleted_response_is_gone_with_its_text(client: OpenAI, parts: StandInWiring) -> None:
    response = client.responses.create(input="hello secret", metadata={"a": "secret"})
    client.responses.delete(response.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(NotFoundError):
            call(response.id)
    assert "secret" not in str(parts.conversations.all())
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(input="more", previous_response_id=response.id)
    assert refused.value.param == "previous_response_id"


def test_a_response_that_is_not_finished_cannot_be_deleted(client: OpenAI, model: HeldModel) -> None:
    model.hold()
    response = client.responses.create(input="hello", background=True)
    with pytest.raises(BadRequestError):
        client.responses.delete(response.id)


def test_another_callers_response_and_an_unknown_one_get_the_same_answer(client: OpenAI, other: OpenAI) -> None:
    mine = client.responses.create(input="hello").id
    answers = []
    for id in (mine, "resp_unknown", "resp_" + "A" * 100, "nonsense", mine[:-2] + "xx"):
        with pytest.raises(NotFoundError) as missing:
            other.responses.retrieve(id)
        answers.append(str(missing.value.body).replace(id[:80], "ID"))
    assert len(set(answers)) == 1
    for call in (other.responses.cancel, other.responses.delete):
        with pytest.raises(NotFoundError):
            call(mine)
    with pytest.raises(BadRequestError):
        other.responses.create(input="go on", previous_response_id=mine)


def test_a_call_that_runs_out_of_time_comes_back_in_progress_and_loses_nothing(model: HeldModel) -> None:
    from scripts.local.stand_in.runtime import StandInRuntime

    model.hold()
    with StandInRuntime(StandInWiring(model, wait_seconds=0.3)) as runtime:
        impatient = OpenAI(base_url=f"{runtime.url}/v1", api_key="key-a", max_retries=0)
        response = impatient.responses.create(input="hello")
        assert response.status == "in_progress"
        model.release()
        assert finished(impatient, response.id) == "completed"


def test_a_failed_model_is_a_failed_response(client: OpenAI, model: HeldModel) -> None:
    model.fail = True
    response = client.responses.create(input="hello")
    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code == "server_error"


def test_the_same_idempotency_key_is_the_same_response(client: OpenAI, model: HeldModel) -> None:
    ids = [client.responses.create(input="hello", extra_headers={"Idempotency-Key": "k1"}).id for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(model.asked) == 1


def rate(client: OpenAI, id: str, body: Any) -> Any:
    """What `/v1/responses/{id}/feedback` says, which OpenAI's client has no method for."""
    return client.post(f"/responses/{id}/feedback", body=body, cast_to=dict[str, Any])


def test_an_answer_is_rated_and_the_rating_taken_back(client: OpenAI, parts: StandInWiring) -> None:
    first = client.responses.create(input="one")
    later = client.responses.create(input="two", previous_response_id=first.id)
    for rating in ("up", "up", "down", None, "up"):
        assert rate(client, first.id, {"rating": rating}) == {
            "id": first.id, "object": "response.feedback", "rating": rating,
        }  # fmt: skip
    rate(client, later.id, {"rating": "down"})
    (shelf,) = parts.conversations.all().values()
    kept = [(m.text, m.feedback) for m in sorted(shelf.messages.values(), key=lambda m: m.sequence)]
    assert kept == [("one", None), ("one", "up"), ("two", None), ("two", "down")]
    assert client.responses.retrieve(first.id).output_text == "one"


def test_what_has_no_answer_is_not_rated(client: OpenAI, model: HeldModel) -> None:
    model.hold()
    waiting = client.responses.create(input="one", background=True)
    with pytest.raises(BadRequestError, match="no answer to rate") as refused:
        rate(client, waiting.id, {"rating": "up"})
    assert refused.value.code == "response_not_completed"
    model.release()
    assert finished(client, waiting.id) == "completed"
    client.responses.delete(waiting.id)
    for id in (waiting.id, "resp_x"):
        with pytest.raises(NotFoundError):
            rate(client, id, {"rating": "up"})


@pytest.mark.parametrize(
    "body", [{}, {"rating": "good"}, {"rating": True}, {"rating": ["up"]}, {"rating": "up", "x": 1}]
)
def test_a_rating_of_another_kind_is_refused(client: OpenAI, body: Any) -> None:
    made = client.responses.create(input="one")
    with pytest.raises(BadRequestError) as refused:
        rate(client, made.id, body)
    assert refused.value.param == ("x" if "x" in body else "rating")
