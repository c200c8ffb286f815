"""Models that read pictures, made in a moment with random weights, with their processors; and pictures to show them."""

from __future__ import annotations

import base64
import io
import random
from pathlib import Path
from typing import Any

from vision import without_video

from tests.inference.tiny_model import TEXTS, make_tokenizer

TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% for part in message.content %}{% if part.type == 'image' %}MARK{% else %}{{ part.text }}{% endif %}{% endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "eos_token_id": 2,
    "bos_token_id": None,
    "pad_token_id": 0,
}
QWEN_MARKS = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]


def make_picture(seed: int, size: tuple[int, int] = (48, 40)) -> Any:
    """An RGB picture of noise."""
    from PIL import Image

    return Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))


def png(image: Any) -> bytes:
    raw = io.BytesIO()
    image.save(raw, "PNG")
    return raw.getvalue()


def data_url(image: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def make(kind: str) -> tuple[Any, Any]:
    """A model in float32 and its processor. Positions are plain in `llava` and `idefics3`, 3D in `qwen2_5_vl`."""
    import torch

    torch.manual_seed(3)
    model, processor = {"llava": _llava, "idefics3": _idefics, "qwen2_5_vl": _qwen}[kind]()
    return model.float().eval(), processor


def save(kind: str, folder: Path) -> Path:
    model, processor = make(kind)
    model.save_pretrained(folder)
    # Part by part, as Qwen's own folders are: a processor without its videos cannot be saved whole.
    processor.image_processor.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    if kind != "qwen2_5_vl":
        processor.save_pretrained(folder)
    return folder


def _tokenizer(marks: list[str], mark: str) -> tuple[Any, list[int]]:
    tokenizer = make_tokenizer(TEXTS)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *marks]})
    tokenizer.chat_template = TEMPLATE.replace("MARK", mark)
    return tokenizer, [int(tokenizer.convert_tokens_to_ids(m)) for m in marks]


def _llava() -> tuple[Any, Any]:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, Qwen3Config
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer, (image,) = _tokenizer(["<image>"], "<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=32,
            initializer_range=0.4,
        ),
        text_config=Qwen3Config(**TEXT, head_dim=8, vocab_size=len(tokenizer)),
        image_token_index=image,
        vision_feature_layer=-1,
    )
    images: Any = CLIPImageProcessorPil
    processor: Any = LlavaProcessor
    made = processor(
        image_processor=images(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return LlavaForConditionalGeneration(config), made


def _idefics() -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, Qwen3Config
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    marks = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer, (image, *_) = _tokenizer(marks, "<image>")
    config = Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.4,
        },
        text_config=Qwen3Config(**TEXT, head_dim=8, vocab_size=len(tokenizer)),
        image_token_id=image,
        scale_factor=2,
    )
    images: Any = Idefics3ImageProcessorPil
    processor: Any = Idefics3Processor
    made = processor(
        image_processor=images(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return Idefics3ForConditionalGeneration(config), made


def _qwen() -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer, (image, video, start, end) = _tokenizer(QWEN_MARKS, "<|vision_start|><|image_pad|><|vision_end|>")
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 8,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    images: Any = Qwen2VLImageProcessorPil
    processor = without_video(Qwen2_5_VLProcessor)
    made = processor(
        image_processor=images(patch_size=8, size={"shortest_edge": 256, "longest_edge": 4096}),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return Qwen2_5_VLForConditionalGeneration(config), made
