"""From a model folder to an engine that runs: weights, tokenizer, stop ids, and memory measured on this device.

The only file that loads with transformers; everything heavy is imported inside functions, so that the port answers
before torch is there. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ModelNotFound, ServiceError
from memory import Need, TooSmall, activation_bytes, budget_bytes, plan
from settings import Settings
from weights import CannotQuantise, check, lay_out, load_weights, quantise, read_ahead

if TYPE_CHECKING:
    from chat import Chat
    from embeddings import Embedder
    from engine.engine import Engine
    from engine.runner import Runner
    from structure import Grammars
    from vision import Vision

log = logging.getLogger("parley.loading")


class ModelUnavailable(Exception):
    """The model cannot be loaded; the message is one line that says what to do."""


@dataclass
class Loaded:
    """A model ready to serve. `seconds` says where the start went, by part."""

    name: str
    engine: Engine
    chat: Chat
    grammars: Grammars
    stop_ids: frozenset[int]
    defaults: dict[str, Any]
    seconds: dict[str, float]
    adapters: tuple[str, ...] = ()
    embedder: Embedder | None = None

    def choose(self, model: str | None) -> tuple[str, int]:
        """The name and number of what a request's `model` asks for; 0 is the model without an adapter.

        A server without adapters has one model, whatever a client calls it. With adapters a wrong name must not be
        answered by another model: raises ModelNotFound.
        """
        if model in self.adapters:
            return model, self.adapters.index(model) + 1
        if self.adapters and model not in (None, "", self.name):
            raise ModelNotFound(str(model), [self.name, *self.adapters])
        return self.name, 0


def find_model(settings: Settings) -> str:
    """The folder or hub id to load. Raises ModelUnavailable when a folder is no model, or none was found."""
    if settings.model is None:
        raise ModelUnavailable(
            "No model: /opt/ml/model and inference/model/ hold no config.json. Train one or give --model DIR_OR_ID."
        )
    path = Path(settings.model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelUnavailable(f"{path} holds no config.json: give --model a folder in Hugging Face format.")
        return str(path)
    looks_like_path = settings.model.startswith((".", "/", "~")) or settings.model.count("/") > 1
    if looks_like_path:
        raise ModelUnavailable(f"There is no folder {settings.model}: give --model an existing one or a hub id.")
    return settings.model


def load(settings: Settings) -> Loaded:
    """Load, check and warm up the model. Takes seconds. Raises ModelUnavailable in one line for what can go wrong."""
    name = find_model(settings)
    folders = find_adapters(settings)
    clock = _Clock()
    read_ahead(name)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )
    from transformers.utils.logging import disable_progress_bar
    from vision import load_vision, reads_pictures

    disable_progress_bar()  # type: ignore[no-untyped-call]
    if settings.device == "auto":
        settings = replace(settings, device="cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(settings.threads)
    clock.lap("imports")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        clock.lap("tokenizer")
        dtype = torch.float32 if settings.device == "cpu" else torch.bfloat16
        dtype = getattr(torch, settings.dtype) if settings.dtype else dtype
        config = AutoConfig.from_pretrained(name)
        vision = load_vision(name, config) if reads_pictures(name, config) else None
        mapping = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING if vision else MODEL_FOR_CAUSAL_LM_MAPPING
        if type(config) in mapping:
            mapping[type(config)]  # imports the architecture, so that its time is seen apart from the weights'
        clock.lap("architecture")
        auto: Any = AutoModelForImageTextToText if vision else AutoModelForCausalLM
        if settings.weights:
            check(settings.weights, settings.device)
        model = load_weights(auto, name, dtype, settings.device)
        if settings.weights:
            quantise(model, settings.weights)
        if settings.device == "cpu":
            lay_out(model)
    except CannotQuantise as error:
        raise ModelUnavailable(str(error)) from error
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:300]
        raise ModelUnavailable(f"Cannot load {name}: {detail} Give --model a local folder.") from error
    clock.lap("weights")
    runner = choose_runner(model)
    if vision is not None:
        runner, vision = with_pictures(runner, model, tokenizer, vision)
    if folders:
        from adapters import attach_adapters

        runner.lora = attach_adapters(model, folders)
    engine = build_engine(model, runner, settings)
    clock.lap("warm-up")
    log.info("loaded %s with %s in %s", name, type(runner).__name__, json.dumps(clock.seconds))
    loaded = assemble(settings.name or public_name(name), engine, model, tokenizer, clock.seconds, vision)
    loaded.adapters = tuple(folder.name for folder in folders)
    if settings.embedding_model:
        from embeddings import load_embedder

        loaded.embedder = load_embedder(settings.embedding_model, settings.device, settings.queue)
        clock.lap("embedding model")
    return loaded


def find_adapters(settings: Settings) -> list[Path]:
    """The folders of the adapters to serve. Raises ModelUnavailable when the setting names none."""
    if not settings.adapters:
        return []
    from adapters import find_adapters

    return find_adapters(settings.adapters)


def with_pictures(runner: Runner, model: Any, tokenizer: Any, vision: Vision) -> tuple[Runner, Vision | None]:
    """The runner to use for a model that reads pictures; no vision if no runner computes them right."""
    from chat import Chat
    from pictures import sample
    from vision import choose_picture_runner

    if not tokenizer.chat_template:
        tokenizer.chat_template = vision.processor.chat_template
    source, picture = sample()
    shown = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "Hi"}]}]
    try:
        prompt = Chat(tokenizer, frozenset(), vision).prompt(shown, [], {}, {source: picture})
    except ServiceError as error:
        log.warning("this model serves text only: its template or processor refuses a picture (%s)", error.message)
        return runner, None
    assert prompt.pictures is not None  # for the type checker: the prompt shows one
    chosen = choose_picture_runner(runner, model, prompt.ids, prompt.pictures)
    return (chosen, vision) if chosen is not None else (runner, None)


def assemble(
    name: str, engine: Engine, model: Any, tokenizer: Any, seconds: dict[str, float], vision: Vision | None = None
) -> Loaded:
    """What is served, from its parts."""
    from chat import Chat
    from structure import Grammars

    ends = stop_ids(model, tokenizer)
    return Loaded(
        name=name,
        engine=engine,
        chat=Chat(tokenizer, ends, vision),
        grammars=Grammars(tokenizer, engine.vocabulary, ends),
        stop_ids=ends,
        defaults=generation_defaults(model),
        seconds=seconds,
    )


def public_name(model: str) -> str:
    """What answers call the model: its folder's name or hub id; "parley" for a folder that is just called `model`."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    name = folder.resolve().name
    return "parley" if name == "model" else name


def choose_runner(model: Any) -> Runner:
    """Slots when the model proves to give there what it gives alone; the one-by-one runner otherwise."""
    from engine.runner import SlotRunner
    from engine.single import SingleRunner

    try:
        runner = SlotRunner(model)
        if agrees(runner, model):
            return runner
        reason = "its logits differ there"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    log.warning("this model does not run in slots (%s); requests are computed one by one", reason)
    single = SingleRunner(model)
    single.reserve(1, 8, 0)
    single.prefill(0, [0, 1], 0)
    return single


def agrees(runner: Any, model: Any) -> bool:
    """True if two rows of different lengths, decoded together, give the plain model's logits. Warms up as well."""
    import torch

    prompts = [[index % runner.vocabulary for index in range(1, size)] for size in (8, 4)]
    runner.reserve(2, 16, 0)
    firsts = [runner.prefill(row, prompt[:-1], 0) for row, prompt in enumerate(prompts)]
    seconds = runner.decode(0, [p[-1] for p in prompts], [len(p) - 1 for p in prompts])
    tolerance = 1e-3 if model.dtype is torch.float32 else 0.15
    with torch.inference_mode():
        for row, prompt in enumerate(prompts):
            plain = model(input_ids=torch.tensor([prompt], device=model.device), use_cache=False).logits[0].float()
            scale = plain.abs().max().clamp(min=1.0)
            for got, want in ((firsts[row][0], plain[-2]), (seconds[row], plain[-1])):
                if not torch.allclose(got.float() / scale, want / scale, atol=tolerance, rtol=0.0):
                    return False
    return True


def build_engine(model: Any, runner: Runner, settings: Settings) -> Engine:
    """An engine whose memory is sized from what the device has left, unless the settings say it.

    Raises ModelUnavailable when not even a short conversation fits.
    """
    from engine.engine import Engine
    from engine.runner import SlotRunner
    from engine.scheduler import Capacity

    config = model.config.get_text_config()
    window = settings.context or int(getattr(config, "max_position_embeddings", None) or 4096)
    # What the settings give is for keys and values alone.
    computing = 0 if settings.kv_bytes else activation_bytes(config, model.dtype.itemsize)
    need = Need(runner.bytes_per_token(), int(config.num_hidden_layers), computing)
    share = settings.reuse_share if isinstance(runner, SlotRunner) else 0.0
    runner.reserve(0, 0, 0)
    try:
        fitting = plan(settings.kv_bytes or budget_bytes(settings.device), window, need, share)
    except TooSmall as error:
        raise ModelUnavailable(str(error)) from error
    if fitting.window < window:
        log.warning("the window is %d tokens, not %d: that is what fits into memory", fitting.window, window)
    rows = settings.rows or (32 if settings.device == "cpu" else 256)
    capacity = Capacity(rows=rows, tokens=fitting.running)
    return Engine(runner, window=fitting.window, capacity=capacity, queue_bound=settings.queue, reuse=fitting.reuse)


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends an answer: the generation config's list, the model's and the tokenizer's own."""
    found: set[int] = set()
    for source in (getattr(model, "generation_config", None), model.config, tokenizer):
        value = getattr(source, "eos_token_id", None)
        if value is not None:
            found.update(value if isinstance(value, list | tuple) else [value])
    return frozenset(int(v) for v in found)


def generation_defaults(model: Any) -> dict[str, Any]:
    """What the model's makers set in generation_config.json: temperature, top_p, top_k, min_p, max_new_tokens."""
    config = getattr(model, "generation_config", None)
    length = getattr(config, "max_new_tokens", None)
    if not getattr(config, "do_sample", False):
        # `do_sample` unset means greedy for `generate`; Chat Completions would mean a temperature of 1.
        return {"temperature": 0.0, **({"max_tokens": length} if length else {})}
    values = {key: getattr(config, key, None) for key in ("temperature", "top_p", "top_k", "min_p")}
    values["max_tokens"] = length
    return {key: value for key, value in values.items() if value is not None}


class _Clock:
    """Seconds since the lap before, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
