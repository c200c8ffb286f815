"""X-Ray subsegments for the stages behind the queues. receive() does without: the SDK costs a cold start 57 ms."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any


@cache
def _tracer() -> Any:
    from aws_lambda_powertools import Tracer

    return Tracer(service="parley", patch_modules=["botocore"])


def tracing(stage: str) -> AbstractContextManager[Any]:
    """A subsegment named after the stage, where X-Ray runs."""
    tracer = _tracer()
    if tracer.disabled:
        return nullcontext()
    segment: AbstractContextManager[Any] = tracer.provider.in_subsegment(name=f"## {stage}")
    return segment
