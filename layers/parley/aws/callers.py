"""API keys: one table item for each, found by the key's hash. The key itself is stored nowhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from parley.aws.failures import condition_failed
from parley.errors import TooManyRequests, Unauthorized

REFUSAL = "Incorrect API key provided. Send a key of this deployment as 'Authorization: Bearer KEY'."


LISTED = "KEYS"
"""The `user` of every key's item: no channel's users are called so, theirs begin with the channel and a colon."""


class StoredCallers:
    """`Callers` from the table; `per_minute` is each key's allowance."""

    def __init__(self, client: Any, table: str, per_minute: int) -> None:
        self._client = client
        self._table = table
        self._per_minute = per_minute

    def admit(self, key: str, now: float) -> str:
        """One conditional write proves the key, counts the request and refuses it past the allowance."""
        minute = int(now // 60)
        values = {":minute": {"N": str(minute)}, ":one": {"N": "1"}, ":most": {"N": str(self._per_minute)}}
        try:
            return self._count(key, "ADD used :one", "window = :minute AND used < :most", values)
        except _Refused as refused:
            if int(refused.item.get("window", {"N": "-1"})["N"]) >= minute:
                raise TooManyRequests(
                    f"Rate limit reached: {self._per_minute} requests a minute for this key. Try again shortly.",
                    retry_after=max(1, round(60 - now % 60)),
                ) from None
        del values[":most"]
        try:
            return self._count(key, "SET window = :minute, used = :one", "not window = :minute", values, new=True)
        except _Refused:
            return self.admit(key, now)  # another request began the minute between the two writes

    def identify(self, key: str) -> str:
        """One read."""
        item = self._client.get_item(TableName=self._table, Key=_place(key_hash(key))).get("Item")
        if item is None:
            raise Unauthorized(REFUSAL)
        return str(item["caller"]["S"])

    def _count(self, key: str, update: str, condition: str, values: dict[str, Any], new: bool = False) -> str:
        allowed = f"attribute_exists(pk) AND ({'attribute_not_exists(window) OR ' if new else ''}{condition})"
        names = {"#window": "window"}
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_place(key_hash(key)),
                UpdateExpression=update.replace("window", "#window"),
                ConditionExpression=allowed.replace("window", "#window"),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            item = error.response.get("Item")
            if not item:
                raise Unauthorized(REFUSAL) from None
            raise _Refused(item) from None
        return str(answer["Attributes"]["caller"]["S"])


class _Refused(Exception):
    """The key is there, the condition did not hold; `item` is what is stored."""

    def __init__(self, item: dict[str, Any]) -> None:
        super().__init__("condition did not hold")
        self.item = item


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is kept of a key: its SHA-256 in hex digits, whose it is, what it is for, when it was made (epoch s)."""

    hash: str
    caller: str
    name: str
    created: float


def key_hash(key: str) -> str:
    """A key's SHA-256. Looking it up by that needs no comparison that could leak it: guessing means inverting it."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def key_item(key: str, caller: str, name: str, created: float) -> dict[str, Any]:
    """The item that lets a key in. Its `user` and `updated` put it into an index, so that keys can be listed."""
    fields = {"caller": {"S": caller}, "name": {"S": name}, "created": {"N": repr(created)}}
    return {**_place(key_hash(key)), **fields, "user": {"S": LISTED}, "updated": {"N": repr(created)}}


def list_keys(client: Any, table: str) -> list[StoredKey]:
    """All keys, the newest first; eventually consistent."""
    from parley.aws.index import indexed  # for the owner's commands alone

    found = [{"pk": {"S": pk}, "sk": {"S": "KEY"}} for pk in indexed(client, table, LISTED)]
    items = (client.get_item(TableName=table, Key=key).get("Item") for key in found)
    return [
        StoredKey(
            item["pk"]["S"].removeprefix("KEY#"), item["caller"]["S"], item["name"]["S"], float(item["created"]["N"])
        )
        for item in items
        if item is not None
    ]


def remove_key(client: Any, table: str, hash: str) -> None:
    """Let a key in no more: the next request with it is refused."""
    client.delete_item(TableName=table, Key=_place(hash))


def _place(hash: str) -> dict[str, Any]:
    return {"pk": {"S": f"KEY#{hash}"}, "sk": {"S": "KEY"}}
