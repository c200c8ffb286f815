"""The pictures of one prompt as the model takes them, and what they mean for reuse. Knows no files and no formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PictureInputs:
    """Tensors for a model's prefill, by its own argument names, made for a prompt of `length` tokens.

    Placeholders (`token`) stand in the prompt from `first` up to, not including, `end`. `digest` is a positive number
    made from the pictures' contents.
    """

    tensors: dict[str, Any]
    token: int
    length: int
    first: int
    end: int
    digest: int

    def keys(self, prompt: list[int]) -> list[int]:
        """The prompt with placeholders replaced by what tells these pictures from others; no token is negative."""
        return [-self.digest if token == self.token else token for token in prompt]

    def reusable(self, shared: int) -> int:
        """How much of `shared` computed tokens counts: behind all pictures any, before that what precedes the first."""
        return shared if shared >= self.end else min(shared, self.first)

    def after(self, start: int) -> dict[str, Any]:
        """The arguments for a prefill that begins at token `start`: none once all pictures are behind it."""
        if start >= self.end:
            return {}
        per_token = {name for name, tensor in self.tensors.items() if tuple(tensor.shape) == (1, self.length)}
        return {name: tensor[:, start:] if name in per_token else tensor for name, tensor in self.tensors.items()}


def on_device(more: dict[str, Any] | None, model: Any) -> dict[str, Any]:
    """The arguments on the model's device; pixels, which are floats, in its type."""
    return {
        name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in (more or {}).items()
    }
