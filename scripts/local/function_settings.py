"""Time-out and memory of each function, from the same ``.chalice/config.json`` that deploys them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Chalice's names of the functions that are not named after their Python function
REST_API = "api_handler"

_DEFAULT_TIMEOUT_SECONDS = 60  # what Chalice deploys when the file says nothing
_DEFAULT_MEMORY_MB = 128


@dataclass(frozen=True)
class FunctionSettings:
    """What Lambda would give one function."""

    timeout_seconds: int
    memory_mb: int


def read_function_settings(config_file: Path, function: str) -> FunctionSettings:
    """Return a function's settings: its own, else its stage's, else the file's, else Chalice's defaults.

    The first stage in the file counts (there is one stage locally). A missing file means all defaults.
    """
    config: dict[str, Any] = json.loads(config_file.read_text()) if config_file.exists() else {}
    stage: dict[str, Any] = next(iter(config.get("stages", {}).values()), {})
    levels = [
        stage.get("lambda_functions", {}).get(function, {}),
        config.get("lambda_functions", {}).get(function, {}),
        stage,
        config,
    ]

    def first(name: str, default: int) -> int:
        return int(next((level[name] for level in levels if name in level), default))

    return FunctionSettings(
        first("lambda_timeout", _DEFAULT_TIMEOUT_SECONDS), first("lambda_memory_size", _DEFAULT_MEMORY_MB)
    )
