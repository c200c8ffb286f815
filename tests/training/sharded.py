"""The trainer in processes that shard a model on a CPU: accelerate, which does so on GPUs only, is told to.

Run as `python sharded.py ARGUMENTS OF training.train`, under torchrun or with its variables set.
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from training import train
from training.processes import leave

begin = AcceleratorState.__init__


def sharded(state: Any, *given: Any, **named: Any) -> None:
    """AcceleratorState's own beginning, and then what it does when the processes have GPUs."""
    begin(state, *given, **named)
    plugin = named.get("fsdp_plugin")
    if plugin is not None and state.distributed_type is DistributedType.MULTI_CPU:
        state.fsdp_plugin = plugin
        PartialState._shared_state["distributed_type"] = state.distributed_type = DistributedType.FSDP


if __name__ == "__main__":
    AcceleratorState.__init__ = sharded
    leave(train.main(sys.argv[1:]))
