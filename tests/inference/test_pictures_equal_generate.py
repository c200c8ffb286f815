"""Greedy tokens after pictures are those of `model.generate`, alone and mixed with text; reuse tells pictures apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from chat import Chat, Prompt
from engine.runner import Runner, SlotRunner
from engine.sequence import Sequence
from engine.single import SingleRunner
from loading import with_pictures
from pictures import Picture, PictureSource
from vision import Vision

from tests.inference import tiny_pictures
from tests.inference.engines import run_until_idle, scheduler, sequence

KINDS = {"llava": SlotRunner, "idefics3": SlotRunner, "qwen2_5_vl": SingleRunner}
LIMIT = 12


class Made:
    """One tiny model and the runner that the server chooses for it."""

    def __init__(self, kind: str) -> None:
        self.model, processor = tiny_pictures.make(kind)
        vision = Vision(processor, self.model.config)
        chosen, found = with_pictures(SlotRunner(self.model), self.model, processor.tokenizer, vision)
        assert found is vision
        self.runner: Runner = chosen
        self.chat = Chat(processor.tokenizer, frozenset({2}), vision)

    def prompt(self, *parts: str | int) -> Prompt:
        """A user's message of texts and of pictures, which numbers stand for."""
        sources = {p: PictureSource(str(p), "test") for p in parts if isinstance(p, int)}
        content = [
            {"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "source": sources[p]}
            for p in parts
        ]
        shown = {
            source: Picture(tiny_pictures.make_picture(seed, (40 + 8 * seed, 48)), str(seed).encode())
            for seed, source in sources.items()
        }
        return self.chat.prompt([{"role": "user", "content": content}], [], {}, shown)

    def generate(self, prompt: Prompt) -> list[int]:
        """What the library gives for the same ids and tensors."""
        ids = torch.tensor([prompt.ids])
        tensors = prompt.pictures.tensors if prompt.pictures else {}
        with torch.inference_mode():
            whole = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=LIMIT, do_sample=False, **tensors
            )
        return [int(token) for token in whole[0, len(prompt.ids) :]]

    def sequence(self, prompt: Prompt) -> Sequence:
        return sequence(prompt.ids, LIMIT, pictures=prompt.pictures)


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest) -> Made:
    found = Made(request.param)
    assert type(found.runner) is KINDS[request.param]
    return found


@pytest.fixture(scope="module")
def llava() -> Made:
    return Made("llava")


PROMPTS: list[tuple[str | int, ...]] = [
    ("What is this?", 1),
    ("Hello there, how are you?",),
    (2, "and", 3, "differ?"),
    (4,),
    ("你好",),
    (1, "What is this?"),
]


def test_pictures_and_texts_in_one_batch(made: Made) -> None:
    prompts = [made.prompt(*parts) for parts in PROMPTS]
    expected = [made.generate(prompt) for prompt in prompts]
    assert expected[0] != expected[3]  # a picture makes a difference at all
    alone = scheduler(made.runner)
    one = made.sequence(prompts[2])
    alone.waiting.push([one])
    run_until_idle(alone)
    assert one.output == expected[2]
    batch = scheduler(made.runner, rows=4)
    sequences = [made.sequence(prompt) for prompt in prompts]
    batch.waiting.push(sequences[:3])
    batch.step()
    batch.waiting.push(sequences[3:])  # these join while others run
    run_until_idle(batch)
    assert [s.output for s in sequences] == expected


def test_two_pictures_behind_the_same_placeholders_are_not_confused(llava: Made) -> None:
    batch = scheduler(llava.runner, reuse=2000)
    lead = "A long beginning that both share. " * 2
    first, second = llava.prompt(lead, 1, "What is this?"), llava.prompt(lead, 2, "What is this?")
    assert first.ids == second.ids
    for prompt in (first, second):
        one = llava.sequence(prompt)
        batch.waiting.push([one])
        run_until_idle(batch)
        assert one.output == llava.generate(prompt)
    assert first.pictures is not None
    assert one.reused == first.pictures.first  # what precedes the picture, and nothing of it


def test_the_same_picture_is_not_computed_again(llava: Made) -> None:
    batch = scheduler(llava.runner, reuse=2000)
    prompt = llava.prompt(5, "What is this, please?")
    later = llava.prompt(5, "What is this, pray?")
    sequences = [llava.sequence(p) for p in (prompt, later, prompt)]
    for one in sequences:
        batch.waiting.push([one])
        run_until_idle(batch)
    assert prompt.pictures is not None
    assert sequences[1].reused >= prompt.pictures.end
    assert sequences[2].reused == len(prompt.ids) - 1
    assert [s.output for s in sequences] == [llava.generate(p) for p in (prompt, later, prompt)]


def test_a_prefix_that_ends_inside_a_picture_is_cut_before_it(llava: Made) -> None:
    pictures = llava.prompt("Some words ahead", 1, "end").pictures
    assert pictures is not None
    assert pictures.reusable(pictures.first + 1) == pictures.first
    assert pictures.reusable(pictures.end) == pictures.end
    assert pictures.reusable(3) == 3


def test_a_runner_that_computes_pictures_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from vision import choose_picture_runner

    made = Made("llava")
    prompt = made.prompt(1)
    assert prompt.pictures is not None

    def blind(self: Any, row: int, tokens: list[int], start: int, more: Any = None) -> Any:
        return self._forward(torch.tensor([tokens]), torch.arange(len(tokens))[None], None)

    monkeypatch.setattr(SlotRunner, "prefill", blind)
    assert type(choose_picture_runner(made.runner, made.model, prompt.ids, prompt.pictures)) is SingleRunner
    monkeypatch.setattr(SingleRunner, "_call", lambda self, row, tokens, adapter, **more: torch.zeros(1, 400))
    assert choose_picture_runner(made.runner, made.model, prompt.ids, prompt.pictures) is None
