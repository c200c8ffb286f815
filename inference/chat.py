"""Text to token ids and back: the model's own chat template, its tokenizer, and which tokens are never shown.

One object for each loaded model. Knows nothing of the engine or HTTP.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

from engine.pictures import PictureInputs
from errors import InvalidRequest
from pictures import Picture, PictureSource
from text_stream import TextStream
from tool_calls import dialect_of
from vision import LISTED, Vision

WORD_JOINER = "\u2060"
"""Put inside a control token's name when it stands in somebody's text, so that it stays text."""


Pictures = dict[PictureSource, Picture]


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt: token ids, and what its placeholders stand for where it has any."""

    ids: list[int]
    pictures: PictureInputs | None = None


class Chat:
    """A tokenizer with its chat template. `stop_ids` end an answer; `vision` is there if the model reads pictures."""

    def __init__(self, tokenizer: Any, stop_ids: frozenset[int], vision: Vision | None = None) -> None:
        self.tokenizer = tokenizer
        self.vision = vision
        # The Rust tokenizer may not be shared by threads while it encodes with other settings.
        self._lock = threading.Lock()
        markers = {token for token in tokenizer.get_added_vocab() if "tool" in token.lower()}
        hidden = {i for i in tokenizer.all_special_ids if tokenizer.convert_ids_to_tokens(i) not in markers}
        self.silent = frozenset(hidden) | stop_ids
        control = sorted(_control_tokens(tokenizer) | (vision.marks if vision else set()), key=len, reverse=True)
        self._listed = vision is not None and LISTED.search(str(tokenizer.chat_template or "")) is not None
        self.dialect = dialect_of(str(tokenizer.chat_template or ""))
        self._control = re.compile("|".join(re.escape(token) for token in control)) if control else None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text in which control tokens count as such, nothing added around it."""
        text = text.encode(errors="replace").decode()  # JSON can hold half of a surrogate pair; UTF-8 cannot
        with self._lock:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids, as it is: nothing tidied up."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def text_stream(self, stops: tuple[str, ...]) -> TextStream:
        """A reader of one answer's tokens."""
        return TextStream(self.decode, self.silent, stops)

    def prompt(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]],
        options: dict[str, Any],
        pictures: Pictures | None = None,
    ) -> Prompt:
        """The whole prompt, the beginning of the answer included; `pictures` holds what the messages show.

        Raises InvalidRequest when the model has no template or its template refuses these messages.
        """
        if not self.tokenizer.chat_template:
            raise InvalidRequest(
                "This model has no chat template: add chat_template.jinja to its folder.", code="no_chat_template"
            )
        import jinja2

        try:
            text = self.tokenizer.apply_chat_template(
                [self._harmless(self._shaped(message)) for message in messages],
                tools=tools or None,
                add_generation_prompt=True,
                tokenize=False,
                **{key: value for key, value in options.items() if key not in TEMPLATE_RESERVED},
            )
        except (
            jinja2.TemplateError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            IndexError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise InvalidRequest(
                f"The model's chat template refused these messages: {error}", param="messages", code="template_error"
            ) from error
        shown = [
            pictures[part["source"]]
            for message in messages
            if pictures and isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image"
        ]
        return self._with_pictures(text, shown) if shown else Prompt(self.encode(text))

    def _with_pictures(self, text: str, shown: list[Picture]) -> Prompt:
        if self.vision is None:
            raise InvalidRequest("This model reads text only.", param="messages", code="unsupported_content")
        try:
            with self._lock:
                return Prompt(*self.vision.inputs(text.encode(errors="replace").decode(), shown))
        except (ValueError, IndexError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise InvalidRequest(
                f"The model cannot take these images: {error}", param="messages", code="invalid_image"
            ) from error

    def _shaped(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as this model's template takes it: text in a list where the template goes through parts."""
        content = message["content"]
        if isinstance(content, str):
            return {**message, "content": [{"type": "text", "text": content}]} if self._listed else message
        return {**message, "content": [{"type": "image"} if p["type"] == "image" else p for p in content]}

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for, also where they are only part of a character."""
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if isinstance(piece, str) and re.fullmatch(r"<0x[0-9A-F]{2}>", piece):
            return bytes([int(piece[3:5], 16)])
        text = self.decode([token])
        if "\ufffd" in text and isinstance(piece, str) and all(c in BYTE_OF for c in piece):
            return bytes(BYTE_OF[c] for c in piece)
        return text.encode(errors="replace")

    def _harmless(self, value: Any) -> Any:
        """The same value with control tokens in its strings made plain text: nobody writes another role's turn."""
        if isinstance(value, str):
            return self._control.sub(_split, value) if self._control else value
        if isinstance(value, dict):
            return {key: self._harmless(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._harmless(item) for item in value]
        return value


TEMPLATE_RESERVED = frozenset(
    {
        "conversation",
        "tools",
        "documents",
        "chat_template",
        "add_generation_prompt",
        "continue_final_message",
        "tokenize",
        "tokenizer_kwargs",
        "padding",
        "truncation",
        "max_length",
        "return_tensors",
        "return_dict",
        "return_assistant_tokens_mask",
    }
)
"""Arguments of apply_chat_template that a caller may not set through chat_template_kwargs."""


def _split(match: re.Match[str]) -> str:
    token = match.group()
    return token[:1] + WORD_JOINER + token[1:]


def _control_tokens(tokenizer: Any) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {token.content for token in added.values() if token.special}
    return {token for token in special | set(tokenizer.all_special_tokens) if len(token) > 1}


def _byte_alphabet() -> dict[str, int]:
    """Character to byte of byte-level BPE: printable Latin-1 bytes stand for themselves, the rest from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    others = [byte for byte in range(256) if byte not in plain]
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


BYTE_OF = _byte_alphabet()
