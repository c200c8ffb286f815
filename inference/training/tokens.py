"""The model's tokenizer, and dialogues as token ids with the mask that says what is learned. Knows no model.

Byte-level BPE, so no text is out of vocabulary. Each Chinese character and each digit stands alone: in templated
dialogues BPE would otherwise merge whole clauses into one token, and learn wordings where meaning is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.dialogues import Message

VOCABULARY = 4096
CONTEXT = 1024
"""Positions the model is trained for, and the tokenizer's `model_max_length`."""

PAD, END = "<|pad|>", "<|end|>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>", "tool": "<|tool|>"}

PIECES = r"'(?:s|t|re|ve|m|ll|d)(?!\p{L})|\p{Han}|\p{N}| ?[\p{L}&&[^\p{Han}]]+| ?[^\s\p{L}\p{N}]+|\s+"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] -%}
{{- raise_exception('unknown role ' ~ message.role ~ ': use system, user, assistant or tool') -}}
{%- endif -%}
{{- '<|' ~ message.role ~ '|>' -}}
{%- if message.content is string -%}{{- message.content | trim -}}
{%- elif message.content -%}
{%- for part in message.content -%}{%- if part.type == 'text' -%}{{- part.text | trim -}}{%- endif -%}{%- endfor -%}
{%- endif -%}
{{- '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""


@dataclass(frozen=True)
class Example:
    """A dialogue as token ids; `learned[i]` is True where `ids[i]` is to be predicted: the assistant's own tokens."""

    ids: list[int]
    learned: list[bool]


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of `VOCABULARY` tokens for the texts, with chat template, end and padding tokens set."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, END, *ROLES.values()],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


class Encoder:
    """Turns dialogues into examples exactly as the chat template would.

    With `dropout` the user's words are cut into tokens in varying ways (BPE dropout), as typos and unseen words are.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, dropout: float = 0.0) -> None:
        self._exact = tokenizer.backend_tokenizer
        self._loose = Tokenizer.from_str(self._exact.to_str())
        self._loose.model.dropout = dropout or None
        known = self._exact.get_vocab()
        self._end = known[END]
        self._roles = {role: known[token] for role, token in ROLES.items()}

    def encode(self, messages: Sequence[Message]) -> Example:
        """The dialogue's tokens. Learned: each assistant text and the `<|end|>` after it, nothing else."""
        ids: list[int] = []
        learned: list[bool] = []
        for message in messages:
            own = message.role == "assistant"
            core = self._exact if own else self._loose
            text = core.encode(message.text, add_special_tokens=False).ids
            ids += [self._roles[message.role], *text, self._end]
            learned += [False] + [own] * (len(text) + 1)
        return Example(ids, learned)
