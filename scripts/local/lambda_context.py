"""The context object that AWS Lambda hands to a handler, with a real clock behind its remaining time."""

from __future__ import annotations

import time
import uuid

ACCOUNT = "123456789012"  # moto's default account


class LambdaContext:
    """What Lambda's Python runtime offers as ``context``; one for each invocation."""

    function_version = "$LATEST"
    identity = None
    client_context = None

    def __init__(self, function: str, timeout_seconds: float, memory_mb: int, region: str) -> None:
        self.function_name = f"parley-{function}"
        self.memory_limit_in_mb = str(memory_mb)
        self.aws_request_id = str(uuid.uuid4())
        self.invoked_function_arn = f"arn:aws:lambda:{region}:{ACCOUNT}:function:{self.function_name}"
        self.log_group_name = f"/aws/lambda/{self.function_name}"
        self.log_stream_name = time.strftime("%Y/%m/%d/[$LATEST]") + self.aws_request_id.replace("-", "")
        self._deadline = time.monotonic() + timeout_seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the function's time-out, never below zero."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))
