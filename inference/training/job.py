"""Where a SageMaker training job begins, under torchrun: `scripts/train`'s own main, with the container's folders.

Checkpoints lie where SageMaker keeps them in S3, so that a job that lost its spot instance goes on from them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ARGUMENTS = "PARLEY_TRAIN_ARGUMENTS"
KEPT = Path("/opt/ml/checkpoints")


def arguments(environment: dict[str, str], kept: Path) -> list[str]:
    """The command line for `training.train`, from what the job was given."""
    given: list[str] = json.loads(environment[ARGUMENTS])
    made = [environment["SM_CHANNEL_PREPARED"], "--out", str(kept / "model"), *given]
    if "SM_CHANNEL_BASE" in environment:
        made += ["--base", environment["SM_CHANNEL_BASE"]]
    return made


def main() -> int:
    """The exit status; the model goes into the folder that SageMaker takes it from."""
    from training import train
    from training.processes import world_rank

    status = train.main(arguments(dict(os.environ), KEPT))
    if status == 0 and world_rank() == 0:
        shutil.copytree(KEPT / "model", os.environ["SM_MODEL_DIR"], dirs_exist_ok=True)
    return status


if __name__ == "__main__":
    from training.processes import leave

    leave(main())
