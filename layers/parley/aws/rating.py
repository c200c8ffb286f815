"""What people think of answers, in the table: an attribute of the answer's own item, and gone with it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from parley.aws import items
from parley.aws.failures import condition_failed
from parley.errors import Conflict


def rate(client: Any, table: str, conversation: str, sequence: int, rating: str | None) -> None:
    """Write `feedback` beside an answer, or take it away: one update, which a repeat makes again.

    Its condition keeps an item from coming back that was deleted meanwhile. Raises Conflict where there is no answer.
    """
    values = {":assistant": "assistant"} | ({":rating": rating} if rating is not None else {})
    try:
        client.update_item(
            TableName=table,
            Key=items.key(conversation, items.message_key(sequence)),
            UpdateExpression="REMOVE #feedback" if rating is None else "SET #feedback = :rating",
            ConditionExpression="#role = :assistant",
            ExpressionAttributeNames={"#feedback": "feedback", "#role": "role"},
            ExpressionAttributeValues={name: items.encode(value) for name, value in values.items()},
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        raise Conflict(f"message {sequence} is no answer") from error
