"""The index `user-conversations`, read whole: what belongs to a user, or is listed under a name that no user has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def indexed(client: Any, table: str, user: str) -> Iterator[str]:
    """The partition keys of all that is listed under `user`, the newest first; eventually consistent."""
    pages = client.get_paginator("query").paginate(
        TableName=table, IndexName="user-conversations", KeyConditionExpression="#user = :user", ScanIndexForward=False,
        ExpressionAttributeNames={"#user": "user"}, ExpressionAttributeValues={":user": {"S": user}},
    )  # fmt: skip
    return (str(entry["pk"]["S"]) for page in pages for entry in page["Items"])
