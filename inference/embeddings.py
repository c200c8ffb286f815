"""Texts to vectors: a pooling model from a local folder in sentence-transformers' layout, in a thread of its own.

Everything that waits is computed together, sorted by length, so that little is padded. Knows no HTTP.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import EngineFault, Overloaded
from loading import ModelUnavailable

log = logging.getLogger("parley.embeddings")

BATCH_TOKENS = 8192
"""Most tokens of one forward, padding included."""

POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
}
"""What sentence-transformers calls them before version 5.2, in 1_Pooling/config.json."""

Vectors = list[list[float]]


@dataclass
class Job:
    """Texts of one request, as token ids, and who waits for their vectors."""

    texts: list[list[int]]
    done: Future[Vectors] = field(default_factory=Future)


class Embedder:
    """A model that turns texts into vectors of `size` numbers; all methods may be called from any thread.

    `window` is the most tokens of a text, `queue_bound` the most texts that may wait.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, pooling: Pooling, window: int, queue_bound: int) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.window = window
        self.size = int(model.config.hidden_size)
        self.vocabulary = int(model.config.vocab_size)
        self._bound = queue_bound
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="embeddings", daemon=True).start()

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the marks that the model wants around it."""
        ids: list[int] = self.tokenizer(text.encode(errors="replace").decode())["input_ids"]
        return ids

    def submit(self, texts: list[list[int]]) -> Future[Vectors]:
        """Queue texts; their vectors come in the same order. Raises Overloaded past the bound."""
        job = Job(texts)
        with self._changed:
            if self._waiting and sum(len(j.texts) for j in self._waiting) + len(texts) > self._bound:
                raise Overloaded("Too many texts are waiting. Try again later.", retry_after=2, code="queue_full")
            self._waiting.append(job)
            self._changed.notify()
        return job.done

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                jobs = list(self._waiting)
                self._waiting.clear()
            self._answer([job for job in jobs if job.done.set_running_or_notify_cancel()])

    def _answer(self, jobs: list[Job]) -> None:
        """Compute all jobs together; if that fails, each alone, so that one cannot spoil another's."""
        try:
            vectors = self._vectors([text for job in jobs for text in job.texts])
        except Exception as error:
            log.error("embedding failed: %s", type(error).__name__, exc_info=error)
            if len(jobs) > 1:
                for job in jobs:
                    self._answer([job])
                return
            jobs[0].done.set_exception(EngineFault("The embedding model failed on these texts."))
            return
        for job in jobs:
            job.done.set_result(vectors[: len(job.texts)])
            vectors = vectors[len(job.texts) :]

    def _vectors(self, texts: list[list[int]]) -> Vectors:
        found: dict[int, list[float]] = {}
        batch: list[int] = []
        for index in sorted(range(len(texts)), key=lambda i: len(texts[i])):
            if batch and (len(batch) + 1) * len(texts[index]) > BATCH_TOKENS:
                found.update(self._forward(texts, batch))
                batch = []
            batch.append(index)
        if batch:
            found.update(self._forward(texts, batch))
        return [found[index] for index in range(len(texts))]

    def _forward(self, texts: list[list[int]], batch: list[int]) -> dict[int, list[float]]:
        import torch

        longest = max(len(texts[index]) for index in batch)
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([texts[i] + [pad] * (longest - len(texts[i])) for i in batch], device=self.model.device)
        mask = torch.tensor(
            [[1] * len(texts[i]) + [0] * (longest - len(texts[i])) for i in batch], device=self.model.device
        )
        with torch.inference_mode():
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = self.pooling.apply(hidden.float(), mask)
        if not bool(torch.isfinite(vectors).all()):
            raise FloatingPointError("a vector is not finite")
        return dict(zip(batch, vectors.cpu().tolist(), strict=True))


@dataclass(frozen=True)
class Pooling:
    """How token vectors become one: `mode` is mean, cls, lasttoken or max; `normalize` makes its length 1."""

    mode: str = "mean"
    normalize: bool = False

    def apply(self, hidden: Any, mask: Any) -> Any:
        """Vectors [texts, size] from hidden states [texts, tokens, size] and which tokens count [texts, tokens]."""
        import torch

        counts = mask[:, :, None].to(hidden.dtype)
        if self.mode == "cls":
            found = hidden[:, 0]
        elif self.mode == "lasttoken":
            found = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        elif self.mode == "max":
            found = hidden.masked_fill(counts == 0, float("-inf")).amax(1)
        else:
            found = (hidden * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(found, dim=1) if self.normalize else found


def load_embedder(folder: str, device: str, queue_bound: int) -> Embedder:
    """The model in a folder. Raises ModelUnavailable in one line for what can go wrong."""
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise ModelUnavailable(f"{folder} holds no config.json: give --embedding-model a folder with a pooling model.")
    from transformers import AutoModel, AutoTokenizer

    try:
        auto: Any = AutoModel
        # In float32, which these small models can afford: vectors that were stored must stay comparable.
        model = auto.from_pretrained(path).float().to(device).eval()
        tokenizer = AutoTokenizer.from_pretrained(path)
        pooling = read_pooling(path)
        window = _window(path, model.config)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:300]
        raise ModelUnavailable(f"Cannot load the embedding model {folder}: {detail}") from error
    return Embedder(path.resolve().name, model, tokenizer, pooling, window, queue_bound)


def read_pooling(path: Path) -> Pooling:
    """How the folder says to pool, mean where it says nothing. ValueError for a way or a module not known here."""
    modules = path / "modules.json"
    if not modules.is_file():
        return Pooling()
    mode, normalize = "mean", False
    for module in json.loads(modules.read_text()):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            mode = _mode(json.loads((path / module["path"] / "config.json").read_text()))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise ValueError(f"modules.json names {kind}, which is not supported.")
    return Pooling(mode, normalize)


def _mode(config: dict[str, Any]) -> str:
    named = config.get("pooling_mode")
    chosen = (
        [named]
        if isinstance(named, str)
        else [POOLING.get(k, k) for k, v in config.items() if "pooling_mode" in k and v]
    )
    if len(chosen) != 1 or chosen[0] not in POOLING.values():
        raise ValueError(f"1_Pooling/config.json asks for {chosen}; one of {sorted(POOLING.values())} is supported.")
    return str(chosen[0])


def _window(path: Path, config: Any) -> int:
    """The most tokens of a text: what sentence-transformers' file says, within the model's positions."""
    positions = int(getattr(config, "max_position_embeddings", None) or 512)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= 2  # their position table begins behind the padding's
    file = path / "sentence_bert_config.json"
    told = json.loads(file.read_text()).get("max_seq_length") if file.is_file() else None
    return min(int(told or positions), positions)
