"""GPU memory that a model takes, in bytes, to serve and to train. Formulas and their terms; no model is loaded.

Weights, gradients, optimizer and keys and values are exact. Activations are the usual count for gradient
checkpointing, and RUNTIME is an estimate: leave a tenth of the card free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.choose.candidates import Shape

INSTANCES = Path(__file__).with_name("instances.json")
GIB = 1 << 30

RUNTIME = 1 * GIB
"""CUDA context, cuBLAS workspaces, the allocator's gaps. An estimate."""

SERVED_TOKENS = 32_768
"""Keys and values to serve with: prompt and answer tokens of all requests at once."""

TRAINED_TOKENS = 2_048
"""Tokens of one step on one GPU."""

RANK = 16

SERVE = ("bfloat16", "int8")
TRAIN = ("lora bfloat16", "lora float32", "full bfloat16", "full float32")
"""How to train, and what the weights are kept in. AdamW; computed in bfloat16, but for float32 on a card without it.
`scripts/train --bf16` keeps weights in float32."""


@dataclass(frozen=True)
class Instance:
    """An instance type: its GPUs, the memory of one in bytes, and CUDA's compute capability times ten."""

    name: str
    gpu: str
    gpus: int
    memory: int
    capability: int

    @property
    def usable(self) -> float:
        """Bytes of one GPU to plan with."""
        return 0.9 * self.memory


def load_instances(path: Path = INSTANCES) -> dict[str, Instance]:
    """Instance types by name, the smallest first."""
    entries = json.loads(path.read_bytes())
    return {n: Instance(n, e["gpu"], e["gpus"], e["mib"] << 20, e["capability"]) for n, e in entries.items()}


def serving(shape: Shape, precision: str, tokens: int = SERVED_TOKENS) -> int:
    """Bytes on one GPU: weights, keys and values of `tokens` (at most), RUNTIME.

    int8 takes the matrices' weights to one byte and a scale of two for each output; embeddings stay in bfloat16, and
    so do keys and values.
    """
    weights = 2 * shape.parameters
    if precision == "int8":
        weights -= sum(inputs * outputs - 2 * outputs for inputs, outputs in shape.linear)
    return weights + tokens * kv_bytes(shape) + RUNTIME


def kv_bytes(shape: Shape) -> int:
    """Bytes of one token's keys and values in bfloat16. Sliding windows are counted as if they were whole."""
    return 2 * shape.layers * shape.kv_width


def training(shape: Shape, method: str, gpus: int = 1, tokens: int = TRAINED_TOKENS, rank: int = RANK) -> int:
    """Bytes on each of `gpus` among which FSDP divides weights, gradients and optimizer."""
    kind, precision = method.split()
    wide = 4 if precision == "float32" else 2
    whole = shape.parameters * 4 * wide  # weights, gradients, AdamW's two moments
    adapted = shape.parameters * wide + shape.adapter(rank) * 16  # the adapter learns in float32
    kept = whole if kind == "full" else adapted
    return -(-kept // gpus) + activations(shape, tokens) + RUNTIME


def activations(shape: Shape, tokens: int) -> int:
    """Bytes of a step with gradient checkpointing, computed in bfloat16: the input of each layer, one layer's inside
    while it is computed again, and the logits with their gradient in float32."""
    kept = 2 * shape.layers * shape.hidden
    inside = 2 * (10 * shape.hidden + 3 * shape.intermediate)
    return tokens * (kept + inside + 10 * shape.vocabulary)


def fits(shape: Shape, instance: Instance) -> Mapping[str, bool]:
    """Whether each way to serve (on one GPU) and to train (on all) has room on an instance.

    bfloat16 needs compute capability 8.0.
    """
    able = instance.capability >= 80
    serve = {name: able and serving(shape, name) <= instance.usable for name in SERVE}
    train = {
        name: (able or name.endswith("float32")) and training(shape, name, instance.gpus) <= instance.usable
        for name in TRAIN
    }
    return serve | train
