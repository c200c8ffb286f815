"""What a call to AWS raises when AWS, or the way to it, fails: no fault of the record that was being handled."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

AWS_FAILURES = (BotoCoreError, ClientError)


def condition_failed(error: ClientError) -> bool:
    """Whether it says that a single write's condition did not hold."""
    return bool(error.response["Error"]["Code"] == "ConditionalCheckFailedException")


def cancelled(error: ClientError) -> list[dict[str, Any]]:
    """Why a transaction was cancelled, an entry for each of its writes; none for any other error."""
    reasons: list[dict[str, Any]] = error.response.get("CancellationReasons", [])
    return reasons
