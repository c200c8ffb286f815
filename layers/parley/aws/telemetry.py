"""What the owner sees: JSON log lines and EMF metrics by Powertools, traces by X-Ray. Never message text.

Each invocation has its own metrics: one Lambda serves one event at a time, the local runtime several in one process.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from parley.errors import Misconfigured

NAMESPACE = "Parley"
_metrics: contextvars.ContextVar[EphemeralMetrics] = contextvars.ContextVar("metrics")


class PowertoolsTelemetry:
    """`Telemetry` of one function. Counting works inside `invocation` only."""

    def __init__(self) -> None:
        self._logger = Logger(service="parley", log_uncaught_exceptions=False, utc=True)

    @contextmanager
    def invocation(self, stage: str, context: Any) -> Iterator[None]:
        """One invocation: its log lines carry the stage and request id, its metrics leave as one EMF line at its end.

        An exception is logged by its type and place, without its text (which may quote a message), and goes on.
        """
        metrics = EphemeralMetrics(namespace=NAMESPACE, service="parley")
        metrics.set_default_dimensions(stage=stage)
        token = _metrics.set(metrics)
        self._logger.thread_safe_clear_keys()
        self._logger.thread_safe_append_keys(stage=stage, request_id=getattr(context, "aws_request_id", None))
        try:
            yield
        except Exception as error:
            self.count("Errors")
            self.failure("invocation failed", error)
            raise
        finally:
            _metrics.reset(token)
            if metrics.metric_set:
                metrics.flush_metrics()

    def follow(self, trace: str, conversation: str) -> None:
        """Put the correlation id on the log lines to come."""
        self._logger.thread_safe_append_keys(correlation_id=trace, conversation=conversation)

    def count(self, metric: str, value: float = 1, unit: str = "Count") -> None:
        """Add to a metric of this invocation."""
        _metrics.get().add_metric(name=metric, unit=unit, value=value)

    def note(self, event: str, **facts: Any) -> None:
        """A line at INFO."""
        self._logger.info(event, extra=facts, stacklevel=3)

    def warn(self, event: str, **facts: Any) -> None:
        """A line at WARNING."""
        self._logger.warning(event, extra=facts, stacklevel=3)

    def failure(self, event: str, error: BaseException) -> None:
        """A line at ERROR with the exception's type and where it was raised, innermost last.

        Its text may quote a message; only that of a setting or secret which its owner has to mend is shown.
        """
        places, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        reason = {"reason": str(error)} if isinstance(error, Misconfigured) else {}
        facts = {"error": type(error).__name__, "cause": cause, "places": places[-6:], **reason}
        self._logger.error(event, extra=facts)
