"""One request from messages to an answer: prepare it, run its sequences on the engine, and gather what comes.

The bridge between the engine's thread and the event loop. Knows no HTTP; `answers.py` gives results their shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from chat import Chat, Pictures, Prompt
from context import fit
from engine.engine import EngineStopped
from engine.sequence import Finish, Sampled, Sampling, Sequence
from engine.waiting import QueueFull
from errors import EngineFault, InvalidRequest, Overloaded
from loading import Loaded
from protocol import ChatRequest
from structure import GrammarConstraint
from tool_calls import CallReader


@dataclass(frozen=True)
class Prepared:
    """A request in tokens. `limit` is the most tokens each choice may generate, `tools` what it may call."""

    request: ChatRequest
    prompt: Prompt
    limit: int
    dropped: int
    sampling: Sampling
    constraint: GrammarConstraint | None
    tools: frozenset[str]
    model: str
    adapter: int = 0


@dataclass(frozen=True)
class Piece:
    """News of one choice: new text, its tokens, and at the end why it ended."""

    index: int
    text: str
    tokens: tuple[Sampled, ...] = ()
    finish: Finish | None = None
    error: str | None = None


@dataclass
class Choice:
    """Listens to one sequence. With stop strings or streaming, text is made as tokens come; else once, at the end."""

    index: int
    chat: Chat
    stops: tuple[str, ...]
    streaming: bool
    with_tokens: bool
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece]
    tokens: list[Sampled] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = self.chat.text_stream(self.stops)

    def on_token(self, sampled: Sampled) -> bool:
        """Engine's thread: note the token, read it if needed, tell the loop when there is text to stream."""
        self.tokens.append(sampled)
        if not self.streaming and not self.stops:
            return False
        new = self.text.push(sampled.token)
        if self.streaming:
            if new:
                self._tell(Piece(self.index, new, self._take_tokens()))
        elif new:
            self.parts.append(new)
        return self.text.stopped

    def on_finish(self, reason: Finish, error: str | None) -> None:
        """Engine's thread: the rest of the text and the reason, in the last piece."""
        if not self.streaming and not self.stops:
            self.parts.extend(self.text.push(sampled.token) for sampled in self.tokens)
        self.parts.append(self.text.flush())
        self._tell(Piece(self.index, "".join(self.parts), self._take_tokens(), reason, error))

    def _take_tokens(self) -> tuple[Sampled, ...]:
        if not self.with_tokens:
            return ()
        taken, self.tokens = tuple(self.tokens), []
        return taken

    def _tell(self, piece: Piece) -> None:
        try:
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)
        except RuntimeError:
            return  # the loop has closed: the server is gone, and nobody waits for this


class Completion:
    """A submitted request. Iterate over `pieces()`; `close()` frees what it holds, finished or not."""

    def __init__(self, loaded: Loaded, prepared: Prepared) -> None:
        self.prepared = prepared
        self.loaded = loaded
        self._engine = loaded.engine
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self.sequences = [self._sequence(index) for index in range(prepared.request.n)]

    def _sequence(self, index: int) -> Sequence:
        prepared, request = self.prepared, self.prepared.request
        listener = Choice(
            index=index,
            chat=self.loaded.chat,
            stops=request.stop,
            streaming=request.stream,
            with_tokens=request.top_logprobs is not None,
            loop=asyncio.get_running_loop(),
            pieces=self._pieces,
        )
        return Sequence(
            prompt=prepared.prompt.ids,
            pictures=prepared.prompt.pictures,
            adapter=prepared.adapter,
            limit=prepared.limit,
            stop_ids=self.loaded.stop_ids,
            sampling=_seeded(prepared.sampling, index),
            caller=request.caller,
            constraint=prepared.constraint.copy(prepared.limit) if prepared.constraint else None,
            listener=listener,
        )

    def submit(self) -> None:
        """Queue it. Raises Overloaded when there is no place, EngineFault when the model is gone."""
        try:
            self._engine.submit(self.sequences)
        except QueueFull as error:
            message = f"The model is busy: {error.bound} requests are already waiting. Try again later."
            raise Overloaded(message, retry_after=self._wait_estimate(), code="queue_full") from error
        except EngineStopped as error:
            raise EngineFault(str(error), code="engine_stopped") from error
        except ValueError as error:
            raise EngineFault(f"The prompt cannot be given to the model: {error}", code="bad_prompt") from error

    async def pieces(self) -> AsyncIterator[Piece]:
        """All news until every choice has ended. Raises EngineFault if one failed."""
        left = len(self.sequences)
        while left:
            piece = await self._pieces.get()
            if piece.finish is Finish.ERROR:
                raise EngineFault(piece.error or "The model failed on this request.")
            if piece.finish is Finish.CANCELLED:
                raise Overloaded("The server is stopping. Try again.", retry_after=5, code="stopping")
            left -= piece.finish is not None
            yield piece

    def call_reader(self) -> CallReader | None:
        """A reader that tells calls from text in one choice; None when there are no tools to call."""
        tools = self.prepared.tools
        return CallReader(self.loaded.chat.dialect, tools) if tools else None

    def close(self) -> None:
        """Cancel what is still waiting or running."""
        for sequence in self.sequences:
            if sequence.finished is None:
                self._engine.cancel(sequence)

    def usage(self) -> dict[str, Any]:
        """Tokens as OpenAI counts them, what was reused of the prompt being a part of it; and the device's time."""
        prompt = len(self.prepared.prompt.ids)
        completion = sum(len(sequence.output) for sequence in self.sequences)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.sequences[0].reused},
            "compute_ms": round(1000 * sum(sequence.computed for sequence in self.sequences)),
        }

    def _wait_estimate(self) -> int:
        """Seconds until a place is likely: what is queued, at the pace of requests so far; from 1 to 30."""
        per_token = self._engine.stats.per_token
        seen = sum(per_token.counts)
        pace = per_token.total / seen if seen else 0.05
        rounds = self._engine.waiting / max(1, self._engine.capacity.rows)
        return max(1, min(30, round(rounds * pace * self.prepared.limit)))


def prepare(request: ChatRequest, loaded: Loaded, most_tokens: int, pictures: Pictures | None = None) -> Prepared:
    """The request in tokens, its history fitted to the window. Heavy for long histories: call it off the loop.

    `most_tokens` bounds an answer when neither the request nor the model says how long it may be.
    Raises InvalidRequest (TooLong, for what cannot fit) when the request itself is at fault.
    """
    engine = loaded.engine
    model, adapter = loaded.choose(request.model)
    if request.logit_bias and max(request.logit_bias) >= engine.vocabulary:
        raise InvalidRequest(
            f"'logit_bias' names token {max(request.logit_bias)}, but the vocabulary has {engine.vocabulary}.",
            param="logit_bias",
            code="invalid_value",
        )
    wanted = request.max_tokens or loaded.defaults.get("max_tokens", most_tokens)
    # What is asked for is left free as far as half the window; what nobody asked for, a quarter.
    room = max(1, min(wanted, engine.window // (2 if request.max_tokens else 4)))
    tools = [] if request.tool_choice == "none" else request.tools
    fitted = fit(loaded.chat, request.messages, tools, request.template_options, engine.window - room, pictures)
    return Prepared(
        request=request,
        prompt=fitted.prompt,
        limit=min(wanted, engine.window - len(fitted.prompt.ids)),
        dropped=fitted.dropped,
        sampling=sampling(request, loaded.defaults),
        constraint=_constraint(request, loaded),
        tools=frozenset(tool["function"]["name"] for tool in tools),
        model=model,
        adapter=adapter,
    )


def _constraint(request: ChatRequest, loaded: Loaded) -> GrammarConstraint | None:
    """The grammar that the answer must keep to: a demanded call, else the response format, else strict tools."""
    choice = request.tool_choice
    if choice in ("none", "auto"):
        wanted = loaded.grammars.for_format(request.response_format)
        if wanted is None and choice == "auto" and any(tool["function"].get("strict") for tool in request.tools):
            return loaded.grammars.for_strict(request.tools, loaded.chat.dialect, request.parallel_tool_calls)
        return wanted
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    tools = [tool for tool in request.tools if named in (None, tool["function"]["name"])]
    several = request.parallel_tool_calls and named is None
    return loaded.grammars.for_call(tools, loaded.chat.dialect, several)


def sampling(request: ChatRequest, defaults: dict[str, Any]) -> Sampling:
    """How to sample: the request's own fields, else the model's, else Chat Completions' defaults."""

    def pick(name: str, fallback: float) -> Any:
        value = getattr(request, name)
        return value if value is not None else defaults.get(name, fallback)

    return Sampling(
        temperature=pick("temperature", 1.0),
        top_p=pick("top_p", 1.0),
        top_k=pick("top_k", 0),
        min_p=pick("min_p", 0.0),
        seed=request.seed,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        bias=request.logit_bias,
        top_logprobs=request.top_logprobs,
    )


def _seeded(sampling: Sampling, index: int) -> Sampling:
    """Choices of one seeded request differ from each other, and each is the same every time."""
    if sampling.seed is None or index == 0:
        return sampling
    return replace(sampling, seed=sampling.seed + index)
