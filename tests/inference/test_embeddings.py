"""Embeddings: pooling, batching and the HTTP surface, with the official client as judge."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from embedding_requests import Wanted, respond
from embeddings import Embedder, load_embedder, read_pooling
from errors import EngineFault, Overloaded
from hypothesis import given
from hypothesis import strategies as st
from loading import ModelUnavailable

from tests.channels.hostile_json import ANYTHING
from tests.fuzz.bodies import TEXTS as ODD_TEXTS
from tests.fuzz.bodies import hostile
from tests.fuzz.bounded import bounded
from tests.inference.server import Server
from tests.inference.tiny_model import TEXTS, make_tokenizer

SENTENCES = ["Hello there", "你好", "Paris is a city, and a rather long text about it follows here.", "a"]


def save(folder: Path, mode: str = "pooling_mode_mean_tokens", normalize: bool = True) -> Path:
    """A BERT of width 32 in sentence-transformers' layout."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(5)
    tokenizer = make_tokenizer(TEXTS)
    config = AutoConfig.for_model(
        "bert",
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.4,
    )
    auto: Any = AutoModel
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    others = ("pooling_mode_cls_token", "pooling_mode_mean_tokens", "pooling_mode_lasttoken", "pooling_mode_max_tokens")
    pooling = {"word_embedding_dimension": 32, **{name: name == mode for name in others}}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 100}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("embedding"))


@pytest.fixture(scope="module")
def running(model_folder: Path, folder: Path) -> Iterator[Server]:
    with Server(["--model", str(model_folder), "--embedding-model", str(folder), "--threads", "1"]) as server:
        yield server


@pytest.mark.parametrize(
    ("mode", "pooled"),
    [
        ("pooling_mode_mean_tokens", lambda hidden: hidden.mean(0)),
        ("pooling_mode_cls_token", lambda hidden: hidden[0]),
        ("pooling_mode_lasttoken", lambda hidden: hidden[-1]),
        ("pooling_mode_max_tokens", lambda hidden: hidden.amax(0)),
    ],
)
def test_a_batch_gives_what_each_text_gives_alone(tmp_path: Path, mode: str, pooled: Any) -> None:
    embedder = load_embedder(str(save(tmp_path, mode, normalize=False)), "cpu", 100)
    ids = [embedder.encode(text) for text in SENTENCES]
    vectors = embedder.submit(ids).result(30)
    for text, vector in zip(ids, vectors, strict=True):
        with torch.inference_mode():
            hidden = embedder.model(input_ids=torch.tensor([text])).last_hidden_state[0]
        assert torch.allclose(torch.tensor(vector), pooled(hidden), atol=1e-4)


def test_the_folder_says_how_to_pool_and_an_unknown_way_is_refused(folder: Path, tmp_path: Path) -> None:
    assert (read_pooling(folder).mode, read_pooling(folder).normalize) == ("mean", True)
    odd = save(tmp_path)
    (odd / "1_Pooling" / "config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    with pytest.raises(ModelUnavailable, match="weightedmean"):
        load_embedder(str(odd), "cpu", 10)
    with pytest.raises(ModelUnavailable, match=r"no config\.json"):
        load_embedder(str(tmp_path / "nothing"), "cpu", 10)


def test_past_the_bound_texts_are_refused_and_a_fault_spoils_only_its_own(folder: Path) -> None:
    embedder: Embedder = load_embedder(str(folder), "cpu", 3)
    honest = embedder._forward

    def forward(texts: list[list[int]], batch: list[int]) -> dict[int, list[float]]:
        if any(texts[i] == [7] for i in batch):
            raise RuntimeError("broken")
        return honest(texts, batch)

    embedder._forward = forward  # type: ignore[method-assign]
    with embedder._changed:  # held: what is submitted now waits together
        bad, good = embedder.submit([[7]]), embedder.submit([[8, 9]])
        with pytest.raises(Overloaded):
            embedder.submit([[8], [9]])
    assert len(good.result(30)[0]) == 32
    with pytest.raises(EngineFault):
        bad.result(30)


def test_the_official_client_gets_the_same_vectors_either_way(running: Server) -> None:
    client = running.client()
    found = client.embeddings.create(model="any", input=SENTENCES)  # the client asks for base64 by itself
    floats = client.embeddings.create(model="any", input=SENTENCES, encoding_format="float")
    assert [entry.index for entry in found.data] == [0, 1, 2, 3]
    for left, right in zip(found.data, floats.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)
        assert sum(x * x for x in left.embedding) == pytest.approx(1, abs=1e-4)
    assert found.usage.prompt_tokens == found.usage.total_tokens > 4
    one = client.embeddings.create(model="any", input=SENTENCES[0]).data
    assert one[0].embedding == pytest.approx(found.data[0].embedding, abs=1e-4)


def test_token_ids_and_dimensions_are_read(running: Server, folder: Path) -> None:
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)("Hello there")["input_ids"]
    client = running.client()
    text = client.embeddings.create(model="any", input="Hello there").data[0].embedding
    tokens = client.embeddings.create(model="any", input=ids).data[0].embedding
    assert tokens == pytest.approx(text, abs=1e-6)
    two = client.embeddings.create(model="any", input=[ids, ids], dimensions=8)
    assert [len(entry.embedding) for entry in two.data] == [8, 8]
    assert sum(x * x for x in two.data[0].embedding) == pytest.approx(1, abs=1e-4)


def test_base64_is_little_endian_float32() -> None:
    body = respond([[0.5, -2.0]], Wanted(2, True), "m", 3)
    assert base64.b64decode(body["data"][0]["embedding"]) == struct.pack("<2f", 0.5, -2.0)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 3]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [99999999]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": None}, "input"),
        ({"input": "long " * 400}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 33}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
    ],
)
def test_a_wrong_field_is_named(running: Server, change: dict[str, Any], param: str) -> None:
    status, body, _ = running.post({"input": "Hello", **change}, "/v1/embeddings")
    assert (status, body["error"]["param"]) == (400, param), body
    assert running.post({"input": "Hello"}, "/v1/embeddings")[0] == 200


def test_the_model_is_listed_beside_the_chat_model(running: Server, folder: Path) -> None:
    assert folder.name in [model.id for model in running.client().models.list()]


def test_without_the_setting_the_error_says_what_to_set(server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="--embedding-model"):
        server.client().embeddings.create(model="any", input="Hello")


ASKED: dict[str, Any] = {"model": "any", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8, "user": "u"}
IDS = st.lists(st.integers(-2, 2**70), max_size=3)
INPUTS = ANYTHING | ODD_TEXTS | st.lists(ODD_TEXTS, max_size=3) | st.lists(IDS, max_size=3)
BODIES = hostile(ASKED) | st.tuples(st.sampled_from(sorted(ASKED)), INPUTS).map(
    lambda change: json.dumps({**ASKED, change[0]: change[1]}).encode()
)


@bounded(80)
@given(BODIES | INPUTS.map(lambda value: json.dumps({**ASKED, "input": value}).encode()))
def test_whatever_a_body_holds_it_is_no_fault_of_the_server(running: Server, raw: bytes) -> None:
    status, body, _ = running.post(raw, "/v1/embeddings")
    assert status in (200, 400), body
    if status == 400:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert len(body["error"]["message"]) < 1000
