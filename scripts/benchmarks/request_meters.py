"""Count what the functions ask of AWS: a DynamoDB client's requests with their units, and what is sent to queues.

Units are AWS's arithmetic: strongly consistent reads by 4 KB, writes by 1 KB, in a transaction twice. Indexes apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scripts.local.stand_in.runtime import QUEUES, StandInWiring


class TableMeter:
    """Counts a DynamoDB client's requests and units."""

    def __init__(self, client: Any, table: str) -> None:
        self.requests = self.reads = self.writes = 0
        self._client, self._table, self._own = client, table, False
        client.meta.events.register("provide-client-params.dynamodb.*", self._sent)
        client.meta.events.register("after-call.dynamodb.*", self._answered)
        self._parameters: Mapping[str, Any] = {}

    def _sent(self, params: Mapping[str, Any], **_: Any) -> None:
        self._parameters = params

    def _answered(self, model: Any, parsed: Mapping[str, Any], **_: Any) -> None:
        if self._own:
            return
        self.requests += 1
        sent = self._parameters
        if model.name == "GetItem":
            self.reads += math.ceil(max(1, size(parsed.get("Item", {}))) / 4096)
        elif model.name == "Query":
            self.reads += math.ceil(max(1, sum(map(size, parsed["Items"]))) / 4096)
        elif model.name == "TransactWriteItems":
            self.writes += sum(2 * self._units(write) for entry in sent["TransactItems"] for write in entry.values())
        else:
            self.writes += self._units(sent)

    def _units(self, write: Mapping[str, Any]) -> int:
        """Kilobytes, rounded up, of what is written; an update is charged for the whole item."""
        item = write.get("Item")
        if item is None:
            self._own = True
            item = self._client.get_item(TableName=self._table, Key=write["Key"], ConsistentRead=True).get("Item", {})
            self._own = False
        return math.ceil(max(1, size(item)) / 1024)


def size(item: Mapping[str, Any]) -> int:
    """An item's bytes as AWS counts them: names and values; numbers about half their digits."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return len(content) // 2 + 2
    if kind == "M":
        return 3 + sum(len(name.encode()) + 1 + _size(member) for name, member in content.items())
    if kind == "L":
        return 3 + sum(1 + _size(member) for member in content)
    return 1


class SendMeter:
    """Counts what the functions ask of queues and endpoint; receiving and deleting is the event source's."""

    def __init__(self, parts: StandInWiring) -> None:
        self.requests = 0
        for part, name in ((parts.sqs, "send_message"), (parts.endpoint, "invoke_endpoint_async")):
            setattr(part, name, self._counting(getattr(part, name)))

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(**arguments: Any) -> Any:
            # a notification is SNS's to send
            self.requests += arguments.get("QueueUrl") != QUEUES["reply"]
            return call(**arguments)

        return counted
