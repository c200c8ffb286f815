"""Who takes part in the inference benchmark, each with the same small face: `run(work, clients)` gives an Outcome.

A client sends its next request when the last one is answered; all begin together. What a peer sets up once (threads,
caches, graphs) is not in its time.
"""

from __future__ import annotations

import copy
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from engine.engine import Engine
from engine.runner import SlotRunner
from engine.scheduler import Capacity
from engine.sequence import Finish, Sampled, Sampling, Sequence
from transformers import ContinuousBatchingConfig, GenerationConfig, StoppingCriteria, StoppingCriteriaList
from weights import lay_out

from scripts.benchmarks.inference_workload import WINDOW, Outcome, Request, settle, share_weights


class Peer(Protocol):
    """One way to serve."""

    name: str

    def run(self, work: list[Request], clients: int) -> Outcome:
        """Serve all requests, at most `clients` at a time."""


class _Stamps(StoppingCriteria):
    """Ends nothing; notes when each step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        settle(input_ids.device.type)
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _generate(model: Any, ids: torch.Tensor, mask: torch.Tensor, answer: int) -> tuple[list[list[int]], float]:
    """The new tokens of each row, and when the first ones were there."""
    stamps = _Stamps()
    with torch.inference_mode():
        whole = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=answer,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([stamps]),
        )
    return whole[:, ids.shape[1] :].tolist(), stamps.times[0]


class OneByOne:
    """`model.generate` for one request after the other, first come first served."""

    name = "one by one"

    def __init__(self, model: Any, most: int) -> None:
        self.model, self.most = model, most

    def run(self, work: list[Request], clients: int) -> Outcome:
        """At most `most` requests are computed; the rest would only repeat the rate."""
        work = work[: self.most]
        begun, arrived = time.perf_counter(), [0.0] * len(work)
        tokens: list[list[int]] = []
        first: list[float] = []
        latency: list[float] = []
        ends: list[float] = []
        for index, request in enumerate(work):
            arrived[index] = begun if index < clients else ends[index - clients]
            ids = torch.tensor([request.prompt], device=self.model.device)
            answer, at = _generate(self.model, ids, torch.ones_like(ids), request.answer)
            ends.append(time.perf_counter())
            tokens.append(answer[0])
            first.append(at - arrived[index])
            latency.append(ends[-1] - arrived[index])
        return Outcome(ends[-1] - begun, tokens, first, latency)


class StaticBatch:
    """All clients' requests padded to one batch, which ends when its longest answer does."""

    name = "static batch"

    def __init__(self, model: Any) -> None:
        self.model = model

    def run(self, work: list[Request], clients: int) -> Outcome:
        """One `generate` a batch; of each row only what was asked for counts."""
        begun = time.perf_counter()
        outcome = Outcome(0.0, [], [], [])
        for at in range(0, len(work), clients):
            group = work[at : at + clients]
            arrived = time.perf_counter()
            width = max(len(r.prompt) for r in group)
            ids = torch.tensor([[0] * (width - len(r.prompt)) + r.prompt for r in group], device=self.model.device)
            mask = torch.tensor(
                [[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in group], device=self.model.device
            )
            rows, first = _generate(self.model, ids, mask, max(r.answer for r in group))
            ended = time.perf_counter()
            outcome.tokens += [row[: r.answer] for row, r in zip(rows, group, strict=True)]
            outcome.first += [first - arrived] * len(group)
            outcome.latency += [ended - arrived] * len(group)
        outcome.seconds = time.perf_counter() - begun
        return outcome


class GenerateBatch:
    """Transformers' continuous batching through its manager, which is what `generate_batch` runs on.

    `attention` is its best one that needs nothing from a hub. Its cache is sized for the workload.
    """

    name = "generate_batch"

    def __init__(self, model: Any, clients: int, attention: str = "sdpa") -> None:
        self.model = share_weights(model)
        self.model.set_attn_implementation(attention)
        self.attention = attention
        blocks = max(8, clients * (-(-700 // 256)))
        config = ContinuousBatchingConfig(
            page_size=256, num_blocks=blocks, max_batch_tokens=max(512, clients), auto_switch_to_flash=False
        )
        generation = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, max_new_tokens=128, eos_token_id=-1, pad_token_id=0
        )
        self._open = self.model.continuous_batching_context_manager(
            generation_config=generation, continuous_batching_config=config, timeout=10
        )
        self.manager = self._open.__enter__()

    def close(self) -> None:
        """End its thread and free its cache."""
        self._open.__exit__(None, None, None)

    def run(self, work: list[Request], clients: int) -> Outcome:
        """Raises RuntimeError when its thread has died or a request failed."""
        begun = time.perf_counter()
        arrived: dict[str, float] = {}
        order: list[str] = []
        done: dict[str, tuple[list[int], list[float], float]] = {}

        def add() -> None:
            request = work[len(order)]
            now = time.perf_counter()
            name = self.manager.add_request(request.prompt, max_new_tokens=request.answer, record_timestamps=True)
            if name is None:
                raise RuntimeError("generate_batch refused a request: its thread has died.")
            arrived[name] = now
            order.append(name)

        for _ in range(min(clients, len(work))):
            add()
        while len(done) < len(work):
            result = self.manager.get_result(timeout=1)
            if result is None:
                if not self.manager.is_running():
                    raise RuntimeError("the thread of generate_batch died.")
                continue
            if result.error is not None:
                raise RuntimeError(f"generate_batch failed: {result.error}")
            if result.is_finished():
                done[result.request_id] = (result.generated_tokens, result.timestamps or [], time.perf_counter())
                if len(order) < len(work):
                    add()
        ended = time.perf_counter()
        return Outcome(
            ended - begun,
            [list(done[name][0]) for name in order],
            [done[name][1][0] - arrived[name] for name in order],
            [done[name][2] - arrived[name] for name in order],
        )


@dataclass
class _Client:
    """Listens to one sequence, and sends the client's next request when it has ended."""

    next: Callable[[], None]
    tokens: list[int] = field(default_factory=list)
    first: float = 0.0
    ended: float = 0.0
    error: str | None = None

    def on_token(self, sampled: Sampled) -> bool:
        """Note the token."""
        if not self.tokens:
            self.first = time.perf_counter()
        self.tokens.append(sampled.token)
        return False

    def on_finish(self, reason: Finish, error: str | None) -> None:
        """Note the end."""
        self.ended = time.perf_counter()
        if reason is not Finish.LENGTH:
            self.error = error or reason.value
        self.next()


class Ours:
    """The engine of `inference/`, in this process, with as many rows as clients."""

    name = "parley"

    def __init__(self, model: Any, clients: int, reuse: int = 0) -> None:
        if model.device.type == "cpu":
            model = copy.deepcopy(model)  # the server lays weights out for itself; the other peers' stay as they are
            lay_out(model)
        self.runner = SlotRunner(model)
        self.engine = Engine(
            self.runner, window=WINDOW, capacity=Capacity(clients, clients * WINDOW), queue_bound=4096, reuse=reuse
        )
        self.engine.start()

    def close(self) -> None:
        """End its thread."""
        self.engine.stop()

    def run(self, work: list[Request], clients: int) -> Outcome:
        """Raises RuntimeError when a request fails."""
        done = threading.Semaphore(0)
        lock = threading.Lock()
        left: Iterator[int] = iter(range(len(work)))
        made: dict[int, tuple[float, _Client]] = {}

        def send() -> None:
            with lock:
                index = next(left, None)
            if index is None:
                return
            client = _Client(follow)
            made[index] = (time.perf_counter(), client)
            request = work[index]
            self.engine.submit(
                [Sequence(request.prompt, request.answer, frozenset(), Sampling(temperature=0.0), client)]
            )

        def follow() -> None:
            send()
            done.release()

        begun = time.perf_counter()
        for _ in range(min(clients, len(work))):
            send()
        for _ in work:
            done.acquire()
        ended = time.perf_counter()
        found = [made[index] for index in range(len(work))]
        if bad := [client.error for _, client in found if client.error]:
            raise RuntimeError(f"our engine failed: {bad[0]}")
        return Outcome(
            ended - begun,
            [client.tokens for _, client in found],
            [client.first - arrived for arrived, client in found],
            [client.ended - arrived for arrived, client in found],
        )


@contextmanager
def opened(name: str, model: Any, clients: int, most_alone: int) -> Iterator[Peer]:
    """A peer by its name, with nothing left of it afterwards: on a GPU two caches at once may not fit."""
    peer: Peer
    if name == OneByOne.name:
        peer = OneByOne(model, most_alone)
    elif name == StaticBatch.name:
        peer = StaticBatch(model)
    else:
        peer = GenerateBatch(model, clients) if name == GenerateBatch.name else Ours(model, clients)
    try:
        yield peer
    finally:
        if isinstance(peer, GenerateBatch | Ours):
            peer.close()
        del peer
        gc.collect()
        if model.device.type == "cuda":
            torch.cuda.empty_cache()


NAMES = (OneByOne.name, StaticBatch.name, GenerateBatch.name, Ours.name)
