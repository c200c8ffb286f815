"""The processes that train one model together: torchrun starts them and tells each its place."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def world_size() -> int:
    """Processes that train together: torchrun says so."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def world_rank() -> int:
    """Which of them this is; 0 writes."""
    return int(os.environ.get("RANK", "0"))


def leave(status: int) -> NoReturn:
    """Ends this process with `status`, and one of several without the interpreter's own end.

    gloo's threads may still be letting go of tensors then, which aborts a process that is done
    (pytorch issue 190489); destroying the group does not end them while a model's mesh holds it.
    """
    if world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
