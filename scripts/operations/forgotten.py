"""The record that a user was forgotten: when, and by whom. It says nothing of what was deleted.

In the user's place stands the SHA-256 of its id. An owner has to be able to show, for a person who asks, that it was
done (GDPR, article 5(2)), and must not keep who that person was in order to show it: who asks brings the id along. A
hash of an id is still personal data, since short ids can be tried through; so the record goes after three years, the
usual time within which a claim can be made.
"""

from __future__ import annotations

import hashlib
from typing import Any

from parley.domain.limits import day_of

KEPT_SECONDS = 3 * 365 * 24 * 3600


def record(client: Any, table: str, user: str, by: str, now: float) -> None:
    """Put it on record; one a day, so that a run that is finished by another leaves one."""
    item = {**_partition(user), "sk": {"S": day_of(now)}, "by": {"S": by}, "at": {"N": repr(now)}}
    client.put_item(TableName=table, Item=item | {"expires": {"N": str(int(now) + KEPT_SECONDS)}})


def records(client: Any, table: str, user: str) -> list[dict[str, Any]]:
    """What is on record of a user: `at` (epoch seconds) and `by`, the oldest first."""
    pages = client.get_paginator("query").paginate(
        TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": _partition(user)["pk"]},
        ConsistentRead=True,
    )  # fmt: skip
    return [{"at": float(item["at"]["N"]), "by": item["by"]["S"]} for page in pages for item in page["Items"]]


def _partition(user: str) -> dict[str, Any]:
    return {"pk": {"S": f"FORGOTTEN#{hashlib.sha256(user.encode()).hexdigest()}"}}
