"""Candidate base models: facts in `candidates/*.json`, sizes counted on the model that transformers builds of them.

Nothing is downloaded: the model is built on torch's meta device, which has shapes and no numbers. A file holds the
model's own configuration, its licence, its languages, and the parameter count its authors publish, for a test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import StepFailed

FOLDER = Path(__file__).parents[1] / "candidates"


@dataclass(frozen=True)
class Shape:
    """What memory is computed from. `linear` are (inputs, outputs) of the language model's matrices, without the
    output layer; `kv_width` is that of keys and values together, in one layer."""

    parameters: int
    linear: tuple[tuple[int, int], ...]
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    kv_width: int
    context: int

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter of this rank on every matrix."""
        return sum(rank * (inputs + outputs) for inputs, outputs in self.linear)


@dataclass(frozen=True)
class Candidate:
    """One base model. `gated`: its hub page asks for consent to the licence before it lets anyone download."""

    model: str
    licence: str
    gated: bool
    languages: tuple[str, ...]
    languages_in_all: int
    published_parameters: int
    config: Mapping[str, Any]

    def shape(self) -> Shape:
        """Counted on the meta device, in a tenth of a second. Raises StepFailed for an unknown architecture."""
        return measure(self.config)


def load_candidates(folder: Path = FOLDER) -> list[Candidate]:
    """All candidates by name. Raises StepFailed for a file that is none."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            entry = json.loads(file.read_bytes())
            found.append(Candidate(**{**entry, "languages": tuple(entry["languages"])}))
        except (ValueError, TypeError, LookupError) as error:
            raise StepFailed(f"{file} is no candidate ({error}); see the others in its folder") from None
    return found


def measure(config: Mapping[str, Any]) -> Shape:
    """The shape of the model that a configuration describes."""
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    seeing = "vision_config" in config
    kind: Any = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
    try:
        built = AutoConfig.for_model(**config)
        with torch.device("meta"):
            model = kind.from_config(built)
    except (ValueError, TypeError, AttributeError) as error:
        raise StepFailed(f"transformers cannot build {config.get('model_type')!r}: {str(error)[:200]}") from None
    text = built.get_text_config()
    head = text.head_dim if getattr(text, "head_dim", None) else text.hidden_size // text.num_attention_heads
    output = model.get_output_embeddings()
    matrices = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not output and "vision" not in name and "visual" not in name
    ]
    return Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear=tuple((m.in_features, m.out_features) for m in matrices),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
        kv_width=2 * text.num_key_value_heads * head,
        context=text.max_position_embeddings,
    )
