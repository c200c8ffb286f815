"""The end of a conversation in the table: what was said goes, and what has to stay holds no words.

What stays, for a time: marks of its events, so that a repeat of one is known, and a note with its user of where it was,
so that what is written late, or was left by a run that died, can be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley.aws import items

BATCH = 25
"""Most writes of one BatchWriteItem."""


def forget(client: Any, table: str, conversation: str, now: float) -> str | None:
    """Delete messages, turns and state, and empty the marks; comes back with the user whose conversation it was.

    None where it has no state any more: what a run that died has left goes all the same.
    """
    state = client.get_item(TableName=table, Key=items.key(conversation, items.STATE), ConsistentRead=True).get("Item")
    user: str | None = state["user"]["S"] if state is not None else None
    if user is not None:
        client.put_item(TableName=table, Item=items.from_participation(user, conversation, now))
    query = {"TableName": table, "ConsistentRead": True}
    pk = {":pk": {"S": items.partition(conversation)}}
    said = query | {
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last", "ScanIndexForward": False, "Limit": BATCH,
        "ExpressionAttributeValues": {**pk, ":first": {"S": "MSG#"}, ":last": {"S": "TURN#~"}},
    }  # fmt: skip
    while found := client.query(**said)["Items"]:  # again from the top: a run that was not done may have added to it
        delete(client, table, found)
    marks = query | {
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :event)", "FilterExpression": "NOT deleted = :yes",
        "ExpressionAttributeValues": {**pk, ":event": {"S": items.mark_key("")}, ":yes": {"BOOL": True}},
    }  # fmt: skip
    for page in client.get_paginator("query").paginate(**marks):
        _write(client, table, [{"PutRequest": {"Item": items.emptied(mark)}} for mark in page["Items"]])
    return user


def delete(client: Any, table: str, found: Sequence[dict[str, Any]]) -> None:
    """Delete these items, of which only the keys are looked at."""
    _write(client, table, [{"DeleteRequest": {"Key": {"pk": item["pk"], "sk": item["sk"]}}} for item in found])


def _write(client: Any, table: str, requests: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        while batch:
            batch = client.batch_write_item(RequestItems={table: batch}).get("UnprocessedItems", {}).get(table, [])
