"""The event pump's view of a real SQS queue; the only place of the pump that knows boto3."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

LONG_POLL_SECONDS = 20
DELETE_ATTEMPTS = 3

# its own name on the wire, so that the request ledger can tell polling from the stages' requests
PUMP_CONFIG = Config(user_agent_extra="parley-pump", read_timeout=70, max_pool_connections=16)


class SqsQueue:
    """One SQS queue, long-polled. Safe to share between threads, as boto3 clients are."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self._client = session.client("sqs", config=PUMP_CONFIG)
        self._url = url
        attributes = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        self.arn: str = attributes["QueueArn"]
        self.region: str = self.arn.split(":")[3]

    def receive(self, count: int) -> list[dict[str, Any]]:
        """Return up to ``count`` messages with all attributes, waiting up to 20 s for the first."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=LONG_POLL_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def delete(self, receipt_handles: list[str]) -> None:
        """Delete up to ten messages. Raises RuntimeError naming what SQS refused to delete."""
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(receipt_handles)]
        for _ in range(DELETE_ATTEMPTS):
            answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            retry = {failure["Id"] for failure in answer.get("Failed", []) if not failure["SenderFault"]}
            refused = [failure["Message"] for failure in answer.get("Failed", []) if failure["SenderFault"]]
            if refused:
                raise RuntimeError(f"SQS refused to delete: {'; '.join(refused)}")
            entries = [entry for entry in entries if entry["Id"] in retry]
            if not entries:
                return
        raise RuntimeError(f"SQS did not delete {len(entries)} messages in {DELETE_ATTEMPTS} attempts")
