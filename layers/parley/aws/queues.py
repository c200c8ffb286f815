"""The inbox and the outbox on SQS FIFO queues. Group: the conversation. Deduplication: the message's own name.

SQS forgets a deduplication id after five minutes, so it only spares work; that nothing happens twice is the table's
doing.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from parley.domain.message import Cancel, Incoming, conversation_key
from parley.envelopes import write_inbox, write_outbox

if TYPE_CHECKING:
    from parley.domain.turn import Outgoing


_UNSENDABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS takes in no body and no attribute."""


class SqsInbox:
    """`Inbox` on one queue, and its dead-letter queue for what could not be done."""

    def __init__(self, client: Any, url: str, dead_letters_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letters_url = dead_letters_url

    def put(self, record: Incoming | Cancel) -> None:
        """Send it."""
        name = record.event if isinstance(record, Incoming) else f"cancel {record.id}"
        _send(self._client, self._url, write_inbox(record), record.conversation, f"{record.conversation} {name}")

    def bury(self, body: str, conversation: str, name: str, reason: str) -> None:
        """Send it to the dead-letter queue, with the reason as an attribute."""
        _bury(self._client, self._dead_letters_url, body, conversation, f"{conversation} {name}", reason)


class SqsOutbox:
    """`Outbox` on one queue, and its dead-letter queue for what a channel will not take."""

    def __init__(self, client: Any, url: str, dead_letters_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letters_url = dead_letters_url

    def put(self, outgoing: Outgoing) -> None:
        """Send it."""
        _send(self._client, self._url, write_outbox(outgoing), outgoing.conversation, outgoing.name)

    def bury(self, outgoing: Outgoing, reason: str, attempt: int) -> None:
        """Send the same record to the dead-letter queue, with the reason as an attribute."""
        name, body = f"{outgoing.name} {attempt}", write_outbox(outgoing)
        _bury(self._client, self._dead_letters_url, body, outgoing.conversation, name, reason)

    def bury_unreadable(self, body: str, name: str, reason: str) -> None:
        """Send it to the dead-letter queue as it is, in a group of its own."""
        _bury(self._client, self._dead_letters_url, body, name, name, reason)

    def delay(self, receipt: str, seconds: float) -> None:
        """Let a record that is being handled come back after `seconds`, at most SQS's 12 hours."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=max(0, min(43_200, round(seconds)))
        )


def _bury(client: Any, url: str, body: str, conversation: str, name: str, reason: str) -> None:
    shown = _UNSENDABLE.sub("\ufffd", reason[:1000]) or "unknown"  # it may quote what a platform answered
    attributes = {"reason": {"DataType": "String", "StringValue": shown}}
    _send(client, url, body, conversation, name, attributes)


def _send(
    client: Any, url: str, body: str, conversation: str, name: str, attributes: dict[str, Any] | None = None
) -> None:
    """Names are hashed: a deduplication id may hold 128 characters, of ASCII only."""
    client.send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageGroupId=conversation_key(conversation),
        MessageDeduplicationId=hashlib.sha256(name.encode(errors="replace")).hexdigest(),
        MessageAttributes=attributes or {},
    )
