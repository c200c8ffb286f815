"""What tests of the model server share: a tiny model in memory and in a folder, and a server that runs on it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference.server import Server
from tests.inference.tiny_model import TEXTS, make_model, make_tokenizer, save


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer(TEXTS)


@pytest.fixture(scope="session")
def model(tokenizer: Any) -> Any:
    import torch

    torch.set_num_threads(1)
    return make_model(len(tokenizer))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator[Server]:
    """A server process with few rows and a short queue, shared by all tests that do not break it."""
    with Server(["--model", str(model_folder), "--rows", "8", "--queue", "64", "--threads", "1"]) as running:
        yield running
