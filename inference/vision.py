"""What a model that reads pictures needs beside a tokenizer: its processor, and a check at start that it works here.

Knows transformers' image-text-to-text models. Knows no HTTP and no addresses.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.pictures import PictureInputs
from errors import InvalidRequest
from pictures import Picture

if TYPE_CHECKING:
    from engine.runner import Runner

log = logging.getLogger("parley.loading")

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
LISTED = re.compile(r"in\s+\w+(\.content|\[['\"]content['\"]\])|content['\"]?\]?\[0\]")
"""A template that goes through a message's parts; one without takes strings."""


def reads_pictures(name: str, config: Any) -> bool:
    """True for a model of transformers' image-text-to-text kind that comes with a processor."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    folder = Path(name)
    described = not folder.is_dir() or any((folder / file).is_file() for file in PROCESSOR_FILES)
    return described and config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


class Vision:
    """Text with placeholders, and pictures, to token ids and tensors."""

    def __init__(self, processor: Any, config: Any) -> None:
        self.processor = processor
        token = getattr(config, "image_token_id", None)
        self.token = int(config.image_token_index if token is None else token)
        names = ("image_token", "video_token", "boi_token", "eoi_token")
        self.marks = {mark for name in names if isinstance(mark := getattr(processor, name, None), str)}

    def inputs(self, text: str, pictures: list[Picture]) -> tuple[list[int], PictureInputs]:
        """Token ids of a rendered prompt, and what its placeholders stand for.

        Raises InvalidRequest when the template has left pictures out, ValueError when the processor refuses them.
        """
        # `shortest_edge` and the like are the model's own: nothing but the text and the pictures is chosen here.
        found = self.processor(
            text=[text], images=[p.image for p in pictures], add_special_tokens=False, return_tensors="pt"
        )
        ids = [int(token) for token in found.pop("input_ids")[0]]
        found.pop("attention_mask", None)
        places = [index for index, token in enumerate(ids) if token == self.token]
        if not places:
            raise InvalidRequest(
                "The model's chat template leaves out the images of these messages.",
                param="messages",
                code="template_error",
            )
        content = hashlib.sha256(b"".join(picture.digest for picture in pictures)).digest()
        return ids, PictureInputs(
            tensors=dict(found),
            token=self.token,
            length=len(ids),
            first=places[0],
            end=places[-1] + 1,
            digest=1 + int.from_bytes(content[:7], "big"),
        )


def load_vision(name: str, config: Any) -> Vision:
    """The processor of a model that reads pictures. Raises what transformers raises for a folder that lacks parts."""
    from transformers import AutoImageProcessor, AutoProcessor

    auto_images: Any = AutoImageProcessor
    auto: Any = AutoProcessor
    # Pillow's processors: torchvision's would need torchvision in the image, for no better pixels.
    images = auto_images.from_pretrained(name, backend="pil")
    kind = processor_kind(config.model_type)
    if kind is None or "video_processor" not in kind.get_attributes():
        return Vision(auto.from_pretrained(name, image_processor=images), config)
    return Vision(_processor_without_video(kind, name, images), config)


def processor_kind(model_type: str) -> Any:
    """The class of a model type's processor; None if transformers has none."""
    from transformers.models.auto import processing_auto

    auto: Any = processing_auto
    name = auto.PROCESSOR_MAPPING_NAMES.get(model_type)
    return auto.processor_class_from_name(name) if name else None


def without_video(kind: Any) -> Any:
    """The same processor for pictures alone: transformers' processors of videos all need torchvision."""

    def check(self: Any, name: str, given: Any) -> Any:
        if name == "video_processor" and given is None:
            return None
        return kind.check_argument_for_proper_class(self, name, given)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


def _processor_without_video(kind: Any, name: str, images: Any) -> Any:
    from transformers import AutoTokenizer

    parts = {"image_processor": images, "tokenizer": AutoTokenizer.from_pretrained(name)}
    described, more = kind.get_processor_dict(name)
    described.pop("video_processor", None)
    without = without_video(kind)
    return without.from_args_and_dict([parts.get(part) for part in kind.get_attributes()], described, **more)


def choose_picture_runner(runner: Runner, model: Any, ids: list[int], pictures: PictureInputs) -> Runner | None:
    """A runner that computes a prompt with a picture as the model alone does: the given one, else one by one.

    None when neither does: then the model serves text only.
    """
    from engine.single import SingleRunner

    for candidate in (runner, SingleRunner(model)):
        try:
            if agrees_on_pictures(candidate, model, ids, pictures):
                return candidate
            reason = "its logits differ there"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("pictures do not run in %s (%s)", type(candidate).__name__, reason)
    return None


def agrees_on_pictures(runner: Runner, model: Any, ids: list[int], pictures: PictureInputs) -> bool:
    """True if a prompt with a picture, its last token decoded, gives the plain model's logits."""
    import torch
    from engine.pictures import on_device

    length = pictures.length
    tensors = on_device(pictures.tensors, model)
    shorter = {k: t[:, : length - 1] if tuple(t.shape) == (1, length) else t for k, t in tensors.items()}
    runner.reserve(1, length + 1, 0)
    first = runner.prefill(0, ids[:-1], 0, shorter)
    second = runner.decode(0, [ids[-1]], [length - 1])
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False, **tensors).logits[0].float()
    tolerance = 1e-3 if model.dtype is torch.float32 else 0.15
    scale = whole.abs().max().clamp(min=1.0)
    pairs = ((first[0], whole[-2]), (second[0], whole[-1]))
    return all(torch.allclose(got.float() / scale, want / scale, atol=tolerance, rtol=0.0) for got, want in pairs)
