"""Weights: read ahead while libraries are imported, mapped to the device, quantised if asked, laid out for a CPU.

`from_pretrained` maps the files: what already has the wanted type is not copied in host memory, and what has not is
converted tensor by tensor. Imports nothing heavy by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FP8_CAPABILITY = (8, 9)
"""Ada and Hopper are the first with matrix units for 8-bit floats."""


NARROW = 512
"""Up to so many inputs a transposed layer multiplies 1 row in half to four fifths of the time, and 8 or 32 rows in 0.85
to 1.0 of it; from 768 inputs on, 8 rows take up to 1.25 of it (torch 2.13, MKL, two AMD EPYC cores)."""


class CannotQuantise(Exception):
    """The weights cannot be had in the kind that was asked for; the message is one line that says what to do."""


def read_ahead(folder: str) -> None:
    """Ask the system to read the weight files now; returns at once. Nothing happens where it cannot."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in Path(folder).glob("*.safetensors"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


def load_weights(auto: Any, name: str, dtype: Any, device: str) -> Any:
    """The model, ready to compute on the device."""
    if device == "cpu":
        return auto.from_pretrained(name, dtype=dtype, use_safetensors=True).eval()
    model = auto.from_pretrained(name, dtype="auto", use_safetensors=True).eval()
    place(model, dtype, device)
    return model


def place(model: Any, dtype: Any, device: str) -> None:
    """Move a model as it is on disk to the device, tensor by tensor, and cast it there: the host converts nothing."""
    exact = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    for name, parameter in model.named_parameters():
        there = parameter.data.to(device)
        casts = there.is_floating_point() and not set(exact) & set(name.split("."))
        parameter.data = there.to(dtype) if casts else there
    for buffer in model.buffers():  # tables of positions and the like keep their precision
        buffer.data = buffer.data.to(device)
    model.config.dtype = dtype


def check(kind: str, device: str) -> None:
    """Raise CannotQuantise if this machine cannot have such weights. Takes what importing torchao takes."""
    if kind == "fp8":
        import torch

        capability = torch.cuda.get_device_capability(device) if device.startswith("cuda") else None
        if capability is None or capability < FP8_CAPABILITY:
            found = "a CPU" if capability is None else "compute capability {}.{}".format(*capability)
            raise CannotQuantise(
                "fp8 weights need a GPU of compute capability 8.9 or higher (L4, L40S, H100); "
                f"this is {found}. Use --weights int8."
            )
    try:
        import torchao.quantization  # noqa: F401
    except ImportError as error:
        raise CannotQuantise(f"{kind} weights need torchao: pip install torchao==0.18.0") from error


def quantise(model: Any, kind: str) -> None:
    """Replace the weights of all linear layers but the output head by `kind`, in place."""
    import torch
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    head = model.get_output_embeddings()
    config = Int8WeightOnlyConfig() if kind == "int8" else Float8WeightOnlyConfig()
    # The head shares its weights with the embedding in many models, and decides tokens: it stays.
    quantize_(model, config, lambda module, _: isinstance(module, torch.nn.Linear) and module is not head)


def lay_out(model: Any) -> None:
    """Put the weights of wide linear layers into memory column by column, in place; shapes and values stay.

    A CPU's product with few rows then runs along the outputs. One layer at a time is in memory twice.
    """
    import torch

    for layer in model.modules():
        if type(layer) is not torch.nn.Linear or layer.weight.dtype is not torch.float32:
            continue
        outputs, inputs = layer.weight.shape
        if outputs > inputs <= NARROW:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def weight_bytes(model: Any) -> int:
    """Bytes of all parameters, shared ones once, quantised ones as they are stored."""
    seen = {id(tensor): tensor for tensor in model.parameters()}
    return sum(_stored(tensor) for tensor in seen.values())


def _stored(tensor: Any) -> int:
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return sum(_stored(getattr(tensor, name)) for name in names)
    return int(tensor.numel() * tensor.element_size())
