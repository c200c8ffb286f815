"""LoRA adapters in PEFT's format, from a folder of folders to layers of a loaded model.

Reads the two files of each itself: peft can also mix adapters in a batch, but loops over them, wants their names in
every forward, and brings accelerate along. Its own answers are the judge in the tests.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loading import ModelUnavailable

if TYPE_CHECKING:
    from engine.lora import Lora

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
NAME = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")
UNSUPPORTED = ("use_dora", "fan_in_fan_out", "modules_to_save", "lora_bias", "use_qalora", "trainable_token_indices")


def find_adapters(folder: str | None) -> list[Path]:
    """The adapters in a folder, by name. Raises ModelUnavailable when there is no such folder, or none in it."""
    if folder is None:
        return []
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ModelUnavailable(
            f"There is no folder {folder}: give --adapters one that holds a folder for each adapter."
        )
    found = sorted(entry for entry in path.iterdir() if (entry / CONFIG).is_file())
    if not found:
        raise ModelUnavailable(f"{folder} holds no adapter: each is a folder with {CONFIG} and {WEIGHTS}.")
    return found


def attach_adapters(model: Any, folders: list[Path]) -> Lora:
    """Put every adapter beside the model's layers, numbered from 1 in the given order. Raises ModelUnavailable."""
    import torch
    from engine.lora import Lora

    lora = Lora()
    adapters = [_read(folder) for folder in folders]
    modules = dict(model.named_modules())
    for layer in sorted({name for adapter in adapters for name in adapter}):
        users = [folder.name for folder, adapter in zip(folders, adapters, strict=True) if layer in adapter]
        module = modules.get(layer)
        if not isinstance(module, torch.nn.Linear):
            raise ModelUnavailable(f"Adapter {users[0]} is for another model: this one has no linear layer {layer}.")
        for folder, adapter in zip(folders, adapters, strict=True):
            if layer in adapter:
                _check_shape(folder.name, layer, module, adapter[layer])
        lora.attach(module, [adapter.get(layer) for adapter in adapters])
    return lora


def _check_shape(name: str, layer: str, module: Any, pair: tuple[Any, Any]) -> None:
    down, up = pair
    wanted = (module.in_features, module.out_features, down.shape[0])
    if (down.shape[1], up.shape[0], up.shape[1]) != wanted:
        raise ModelUnavailable(f"Adapter {name} is for another model: its matrices do not fit {layer}.")


def _read(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Layer name to (down, up), up with the adapter's scale in it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnavailable(f"Cannot read adapter {folder}: {error}") from error
    odd = [key for key in UNSUPPORTED if config.get(key)]
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        raise ModelUnavailable(f"Adapter {folder.name} is not plain LoRA ({', '.join(odd) or 'type or bias'}).")
    sides: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        found = NAME.match(name)
        if found is None:
            raise ModelUnavailable(f"Adapter {folder.name} holds {name}, which is no LoRA matrix of a linear layer.")
        sides.setdefault(found["layer"], {})[found["side"]] = tensor
    return {layer: (pair["A"], pair["B"] * _scale(config, layer, pair["A"].shape[0])) for layer, pair in sides.items()}


def _scale(config: dict[str, Any], layer: str, rank: int) -> float:
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            alpha = value
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
