"""How many tokens of keys and values fit: what the device has left, less what computing a prompt takes for itself.

Knows devices, limits and sizes; nothing of requests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARE = {"cpu": 0.25, "cuda": 0.85}
"""Of the memory free after loading, how much keys, values and activations may take. The rest is for CUDA graphs."""

MOST_CPU_BYTES = 4 << 30
"""On CPU the rest of the machine needs memory too."""

LEAST_WINDOW = 64
"""Tokens; a model with less room cannot hold a conversation."""


class TooSmall(Exception):
    """The device has no room for even a short conversation; the message is one line."""


@dataclass(frozen=True)
class Need:
    """Bytes: `per_token` of keys and values over `layers`, `per_prompt_token` of activations while a prompt is read."""

    per_token: int
    layers: int
    per_prompt_token: int


@dataclass(frozen=True)
class Plan:
    """Tokens: of one sequence at most, of all running ones together, and of finished ones kept for reuse."""

    window: int
    running: int
    reuse: int


def plan(budget: int, window: int, need: Need, reuse_share: float) -> Plan:
    """What fits into `budget` bytes: the longest prompt's activations, and the keys and values of all sequences.

    A window that does not fit becomes smaller; what is kept for reuse gives way first. Raises TooSmall.
    """
    # Growing moves one layer at a time, which is there twice while it does.
    per_token = max(1, need.per_token - -need.per_token // need.layers)
    window = min(window, budget // (per_token + need.per_prompt_token))
    if window < LEAST_WINDOW:
        raise TooSmall(
            f"{budget >> 20} MiB for keys and values hold {window} tokens, less than {LEAST_WINDOW}: "
            "give the server more memory, a smaller model, or --kv-bytes."
        )
    tokens = (budget - window * need.per_prompt_token) // per_token
    reuse = min(int(tokens * reuse_share), tokens - window)
    return Plan(window, tokens - reuse, reuse)


def activation_bytes(config: Any, itemsize: int) -> int:
    """An upper estimate of what one prompt token takes while it passes through a layer: attention, then the MLP."""
    hidden = int(config.hidden_size)
    experts = int(getattr(config, "num_experts_per_tok", None) or 1)
    inner = [getattr(config, "intermediate_size", None) or 4 * hidden]
    inner.append((getattr(config, "moe_intermediate_size", None) or 0) * experts)
    return (8 * hidden + 3 * max(int(size) for size in inner)) * itemsize


def budget_bytes(device: str) -> int:
    """How many bytes keys, values and activations may take on this device."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * SHARE["cuda"])
    return min(MOST_CPU_BYTES, int(available_bytes() * SHARE["cpu"]))


def available_bytes(root: Path = Path("/")) -> int:
    """Host memory that this process may still take: the machine's, its cgroup's and its address space's least."""
    bounds = [_machine(root), _cgroup(root), _address_space(root)]
    return max(0, min(bound for bound in bounds if bound is not None))


def _machine(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # macOS does not tell what is free


def _cgroup(root: Path) -> int | None:
    """What the container may still take: its limit less its use; cached files count as free. None without a limit."""
    for limit, use, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            folder = root / "sys/fs/cgroup"
            most = (folder / limit).read_text().strip()
            if not most.isdigit():
                return None  # "max"
            stat = dict(line.split() for line in (folder / limit).with_name("memory.stat").read_text().splitlines())
            return int(most) - int((folder / use).read_text()) + int(stat.get(cached, 0))
        except (OSError, ValueError):
            continue
    return None


def _address_space(root: Path) -> int | None:
    """What `ulimit -v` leaves; None without a limit."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return None
    try:
        pages = int((root / "proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return most - pages * os.sysconf("SC_PAGE_SIZE")
