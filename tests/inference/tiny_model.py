"""A chat model for tests, made in a moment: random weights, a byte-level tokenizer, a ChatML template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = """\
{%- if tools %}<|im_start|>tools
{{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages -%}
{%- if 'refuse me' in message.content %}{{ raise_exception('I will not') }}{% endif -%}
<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>{{ call.function | tojson }}</tool_call>
{%- endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make_tokenizer(merges_from: list[str]) -> Any:
    """A byte-level BPE tokenizer: every byte is a token, plus some merges learned from the given texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(merges_from, trainer)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(vocabulary: int, kind: str = "qwen3", window: int = 512, **more: Any) -> Any:
    """A randomly initialised model of a real architecture, 2 layers of width 32, grouped queries."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(7)
    config = AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=window,
        eos_token_id=2,
        bos_token_id=None,
        pad_token_id=0,
        initializer_range=0.4,
        **{"tie_word_embeddings": False, **more},
    )
    auto: Any = AutoModelForCausalLM
    return auto.from_config(config, attn_implementation="sdpa").float().eval()


TEXTS = [
    "Hello there, how are you today? I am fine.",
    "你好,今天怎么样?我很好。",
    '{"name": "value", "city": "Paris"}',
] * 5


def save(folder: Path, **more: Any) -> Path:
    """A model folder in Hugging Face format."""
    tokenizer = make_tokenizer(TEXTS)
    model = make_model(len(tokenizer), **more)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
