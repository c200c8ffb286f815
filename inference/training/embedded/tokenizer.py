"""The embedded model's tokenizer: a name or an id gives the same tokens in a sentence and inside JSON.

That is what lets a small model copy it. Byte-level BPE, so no text is out of vocabulary; digits, Chinese characters,
and the letters of an id stand alone; a space goes with a word in small letters and stands alone before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096
CONTEXT = 1024
"""Positions the model is trained for, and the tokenizer's `model_max_length`."""

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|tools|>")
CALL, CALL_END = "<tool_call>", "</tool_call>"
SPECIAL = (PAD, END, *ROLES, CALL, CALL_END)
"""They have the first ids, in this order."""

PIECES = "|".join(
    (
        r"'(?:s|t|re|ve|m|ll|d)(?!\p{L})",
        r"\p{Han}|\p{N}|[，。？！：；、“”（）《》]",
        r"[A-Za-z](?=[A-Za-z]*[-_]?\d)",  # the letters of an id
        r" ?[a-z]++(?![A-Za-z]*[-_]?\d)",  # a word in small letters takes its space along
        r"\p{Lu}?[\p{L}&&[^\p{Han}]]+?(?=\p{Lu}|[^\p{L}]|\p{Han}|$)",
        r" (?=[A-Za-z\p{L}\p{N}])",
        r" ?[^\s\p{L}\p{N}，。？！：；、“”（）《》]+",
        r"\s",
    )
)

CHAT_TEMPLATE = """\
{%- if tools -%}
{{- '<|tools|>' -}}
{%- for tool in tools -%}
{{- tool.function.name ~ '(' ~ ((tool.function.parameters or {}).properties or {}) | list | join(', ') ~ ')' -}}
{{- '\\n' if not loop.last -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] -%}
{{- raise_exception('unknown role ' ~ message.role ~ ': use system, user, assistant or tool') -}}
{%- endif -%}
{{- '<|' ~ message.role ~ '|>' -}}
{%- if message.content is string -%}{{- message.content | trim -}}
{%- elif message.content -%}
{%- for part in message.content -%}{%- if part.type == 'text' -%}{{- part.text | trim -}}{%- endif -%}{%- endfor -%}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' -}}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson -}}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A tokenizer of `vocabulary` tokens for the texts, with chat template, end and padding tokens set."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*SPECIAL[:-2], AddedToken(CALL, special=False), AddedToken(CALL_END, special=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens(
        [AddedToken(CALL, special=False, normalized=False), AddedToken(CALL_END, special=False, normalized=False)]
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
