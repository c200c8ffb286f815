"""The whole system as `scripts/run` starts it, with the echo model in the model server's place."""

from __future__ import annotations

import sys

from scripts.local import supervisor
from scripts.local.http_server import bind


class EchoSupervisor(supervisor.Supervisor):
    """Everything is the supervisor's own but the command of the model server."""

    def _start_model(self) -> None:
        with bind(0) as free:
            self._model_port = free.getsockname()[1]
        self._model = self._child(
            "model", [sys.executable, "-m", "scripts.benchmarks.echo_model", "--port", str(self._model_port)]
        )
        self._launch_model()


if __name__ == "__main__":
    supervisor.Supervisor = EchoSupervisor  # type: ignore[misc]
    sys.exit(supervisor.main())
