"""Records as token ids with the mask of what is learned, through the model's own chat template.

The mask needs no `{% generation %}` marks. What the server would send for an answer is the template's text of the
messages before it with the generation prompt; what the model must write is what the template's text with the answer
has behind that. Where a template writes an answer differently once more messages follow (Qwen3 takes the thinking
out), no one text holds every answer as it has to be written, and each answer becomes an example of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import StepFailed
from training.records import Malformed, Record, weightless

WORD_JOINER = "\u2060"
"""Put inside a control token's name in somebody's text, as the server does: nobody writes another's turn."""


@dataclass(frozen=True)
class Example:
    """One document: `learned[i]` is 1 where `ids[i]` is to be predicted from those before it, so never for i = 0."""

    ids: NDArray[np.int32]
    learned: NDArray[np.uint8]


def example(ids: Sequence[int], learned: Sequence[int]) -> Example:
    """The two as arrays, which take 5 bytes a token; nothing predicts the first one."""
    mask = np.asarray(learned, np.uint8)
    mask[:1] = 0
    return Example(np.asarray(ids, np.int32), mask)


class ExampleMaker:
    """A tokenizer with a chat template. Raises StepFailed without a template, offsets or an end token."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not tokenizer.chat_template:
            raise StepFailed(
                f"the tokenizer of {name} has no chat template; take the model's instruct variant, or give one with "
                "--chat-template FILE"
            )
        if not tokenizer.is_fast:
            raise StepFailed(f"the tokenizer of {name} has no tokenizer.json; convert it with transformers first")
        if tokenizer.eos_token_id is None:
            raise StepFailed(f"the tokenizer of {name} has no end token; set eos_token in its tokenizer_config.json")
        self._tokenizer = tokenizer
        self._name = name
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        control = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        longest_first = sorted((token for token in control if len(token) > 1), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._marks = tuple({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()} - {""})

    @property
    def padding(self) -> int:
        """The id that fills rows up; nothing is learned there."""
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        return int(end if pad is None else pad)

    def examples(self, record: Record, context: int) -> list[Example]:
        """The record's documents of at most `context` tokens.

        Raises Malformed for a conversation that is longer than that, or that the template refuses.
        """
        if "text" in record:
            return list(self._windows(record["text"], context))
        found = [self._example(text, spans) for text, spans in self._texts(record)]
        if (longest := max(len(one.ids) for one in found)) > context:
            raise Malformed("longer_than_context", f"{longest} tokens")
        return found

    def _windows(self, text: str, context: int) -> Iterator[Example]:
        end = self._tokenizer.eos_token_id
        # with what this tokenizer puts before every text, if anything
        ids = self._tokenizer(self._harmless(text))["input_ids"]
        ids = ids if ids[-1:] == [end] else [*ids, end]
        for start in range(0, len(ids), context):
            window = ids[start : start + context]
            if len(window) > 1:
                yield example(window, [1] * len(window))

    def _texts(self, record: Record) -> list[tuple[str, list[tuple[int, int]]]]:
        """The conversation's text with the places of its answers; or one text an answer, where one cannot hold all.

        Answers with the weight 0 are said, and not learned.
        """
        messages = [self._harmless(_for_template(message)) for message in weightless(record["messages"])]
        tools = record.get("tools") or None
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        prompts = [self._render(messages[:i], tools, True) for i in answers]
        upto = [self._render(messages[: i + 1], tools, False) for i in answers]
        for prompt, text in zip(prompts, upto, strict=True):
            if not text.startswith(prompt):
                raise Malformed("template", "the chat template does not go on from its own generation prompt")
        spans = [(len(prompt), self._end(text)) for prompt, text in zip(prompts, upto, strict=True)]
        wanted = [record["messages"][i].get("weight") != 0 for i in answers]
        if not any(wanted):
            raise Malformed("nothing_to_learn", "every answer has the weight 0")
        whole = upto[-1]
        if all(whole.startswith(text[:end]) for text, (_, end) in zip(upto, spans, strict=True)) and all(
            whole.startswith(prompt) for prompt in prompts
        ):
            return [(whole[: spans[-1][1]], list(compress(spans, wanted)))]
        return [(text[: span[1]], [span]) for text, span in compress(zip(upto, spans, strict=True), wanted)]

    def _harmless(self, value: Any) -> Any:
        """The same value with control tokens in its strings made plain text."""
        if isinstance(value, str):
            return self._control.sub(lambda found: found[0][:1] + WORD_JOINER + found[0][1:], value)
        if isinstance(value, dict):
            return {key: self._harmless(member) for key, member in value.items()}
        return [self._harmless(member) for member in value] if isinstance(value, list) else value

    def _render(self, messages: list[dict[str, Any]], tools: Any, ask: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=ask
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise Malformed("template", f"the chat template refuses it: {str(error)[:200]}") from None
        return text

    def _end(self, text: str) -> int:
        """Where the last answer of the text ends: behind the token that closes it. Line feeds behind that are no part
        of it: the server stops before them."""
        shorter = text.rstrip()
        if not shorter.endswith(self._marks):
            raise StepFailed(
                f"the chat template of {self._name} writes no special token behind an answer, so a model could not "
                "learn to stop; give a template that writes eos_token with --chat-template FILE"
            )
        return len(shorter)

    def _example(self, text: str, spans: list[tuple[int, int]]) -> Example:
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        learned, at = [], 0
        for start, end in encoded["offset_mapping"]:
            while at < len(spans) and start >= spans[at][1]:
                at += 1
            learned.append(int(at < len(spans) and spans[at][0] <= start < end <= spans[at][1]))
        return example(encoded["input_ids"], learned)


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates take it: arguments as an object, as the server hands them over."""
    if not message.get("tool_calls"):
        return dict(message)
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def load_tokenizer(place: str, chat_template: Path | None = None) -> Any:
    """The tokenizer of a folder or hub id. Raises StepFailed when there is none."""
    from transformers import AutoTokenizer

    if not Path(place).exists() and place.count("/") != 1:
        raise StepFailed(f"there is no folder {place}; give --tokenizer a model's folder or a hub id")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise StepFailed(f"no tokenizer in {place}: {' '.join(str(error).split())[:200]}") from None
    if chat_template is not None:
        tokenizer.chat_template = chat_template.read_text("utf-8")
    return tokenizer


def window_of(place: str, tokenizer: Any) -> int | None:
    """How many positions the model has, where its folder says so."""
    file = Path(place) / "config.json"
    config = json.loads(file.read_bytes()) if file.is_file() else {}
    said = config.get("max_position_embeddings") or (config.get("text_config") or {}).get("max_position_embeddings")
    limits = [int(n) for n in (said, tokenizer.model_max_length) if n and n < 10**9]
    return min(limits) if limits else None
