"""LoRA adapters: peft's own answers as judge, mixed in one batch; reuse and names keep them apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from adapters import attach_adapters, find_adapters
from engine.runner import Runner, SlotRunner
from engine.single import SingleRunner
from loading import ModelUnavailable

from tests.inference.engines import generate, run_until_idle, scheduler, sequence
from tests.inference.server import Server, user
from tests.inference.tiny_model import TEXTS, make_model, make_tokenizer

PROMPTS = [[40 + i * 7 + j for j in range(10 + i)] for i in range(4)]


def save_adapters(folder: Path, vocabulary: int) -> dict[str, list[list[int]]]:
    """Two adapters of different rank and layers; by name, what peft's model generates for PROMPTS."""
    from peft import LoraConfig, get_peft_model

    expected = {}
    kinds: dict[str, dict[str, Any]] = {
        "formal": {"r": 4, "target_modules": ["q_proj", "v_proj"], "alpha_pattern": {"v_proj": 64}},
        "pirate": {"r": 2, "target_modules": ["q_proj", "down_proj"], "use_rslora": True},
    }
    for seed, (name, kind) in enumerate(kinds.items()):
        model = make_model(vocabulary)
        torch.manual_seed(seed)
        tuned: Any = get_peft_model(model, LoraConfig(lora_alpha=16, init_lora_weights=False, **kind))
        tuned.eval().save_pretrained(folder / name)
        expected[name] = [generate(tuned, prompt, 16) for prompt in PROMPTS]
    return expected


class Adapters:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        vocabulary = len(make_tokenizer(TEXTS))
        judged = save_adapters(folder, vocabulary)
        self.model = make_model(vocabulary)
        plain = [generate(self.model, prompt, 16) for prompt in PROMPTS]
        self.names = sorted(judged)
        self.expected = [plain, *(judged[name] for name in self.names)]
        self.lora = attach_adapters(self.model, find_adapters(str(folder)))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    return Adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def running(model_folder: Path, adapters: Adapters) -> Iterator[Server]:
    with Server(["--model", str(model_folder), "--adapters", str(adapters.folder), "--threads", "1"]) as server:
        yield server


@pytest.mark.parametrize("kind", [SlotRunner, SingleRunner])
def test_a_mixed_batch_gives_what_peft_gives_for_each(adapters: Adapters, kind: Any) -> None:
    assert len({str(answers) for answers in adapters.expected}) == 3  # the adapters make a difference
    runner: Runner = kind(adapters.model)
    runner.lora = adapters.lora
    batch = scheduler(runner, rows=6)
    made = {
        (number, index): sequence(prompt, 16, adapter=number)
        for index, prompt in enumerate(PROMPTS)
        for number in range(3)
    }
    batch.waiting.push(list(made.values()))
    run_until_idle(batch)
    for (number, index), one in made.items():
        assert one.output == adapters.expected[number][index], (number, index)


def test_one_adapters_keys_and_values_are_not_reused_by_another(adapters: Adapters) -> None:
    runner = SlotRunner(adapters.model)
    runner.lora = adapters.lora
    batch = scheduler(runner, reuse=2000)
    prompt = [50 + i for i in range(40)]
    reused = []
    for number in (0, 1, 2, 1, 0):
        one = sequence(prompt, 4, adapter=number)
        batch.waiting.push([one])
        run_until_idle(batch)
        reused.append(one.reused)
    assert reused == [0, 0, 0, 39, 39]


def test_an_adapter_is_chosen_by_name_and_listed_with_its_parent(running: Server, adapters: Adapters) -> None:
    client = running.client()
    models = {model.id: model for model in client.models.list()}
    base = next(iter(models))
    assert [m for m in models if m != base] == adapters.names
    assert all(getattr(models[name], "parent") == base for name in adapters.names)  # noqa: B009 - beyond OpenAI's shape
    texts = {}
    for name in (base, *adapters.names):
        answer = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "Hello there"}], max_tokens=16
        )
        assert answer.model == name
        texts[name] = answer.choices[0].message.content
    assert len(set(texts.values())) == 3
    assert running.post(user("Hello there", max_tokens=16))[1]["model"] == base


def test_with_adapters_a_wrong_name_is_not_answered_by_another_model(running: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="pirate") as caught:
        running.client().chat.completions.create(model="pirat", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "not plain LoRA"),
        ({"peft_type": "IA3"}, "not plain LoRA"),
    ],
)
def test_what_is_not_plain_lora_is_refused_at_start(
    adapters: Adapters, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    import shutil

    shutil.copytree(adapters.folder / "pirate", tmp_path / "odd")
    file = tmp_path / "odd" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ModelUnavailable, match=says):
        attach_adapters(adapters.model, find_adapters(str(tmp_path)))


def test_an_adapter_for_another_model_is_refused_at_start(adapters: Adapters) -> None:
    other = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with pytest.raises(ModelUnavailable, match="another model"):
        attach_adapters(other, find_adapters(str(adapters.folder)))


def test_a_folder_without_adapters_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"adapter_config\.json"):
        find_adapters(str(tmp_path))
    with pytest.raises(ModelUnavailable, match="no folder"):
        find_adapters(str(tmp_path / "none"))
