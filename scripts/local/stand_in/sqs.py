"""SQS in memory, behind the few methods of boto3's client that Parley calls.

Follows AWS's documentation: FIFO groups are locked while a message of theirs is in flight, deduplication lasts five
minutes and outlives deletion, a message that was received too often moves to its dead-letter queue.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEDUPLICATION_SECONDS = 300.0
MOST_BYTES = 1_048_576
MOST_AT_ONCE = 10
NAME = re.compile(r"[!-~]{1,128}")
"""A group's or deduplication id: printable ASCII, no space."""

UNSENDABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Refused(Exception):
    """A request that SQS would refuse; the text says why."""


@dataclass
class Message:
    """One message. `until` is when it can be received again; `handle` is that of its last receive."""

    id: str
    body: str
    group: str
    deduplication: str
    sequence: int
    sent: float
    attributes: Mapping[str, Any]
    receives: int = 0
    first_received: float = 0.0
    until: float = 0.0
    handle: str = ""
    gone: bool = False


@dataclass
class Group:
    """Messages of one FIFO group, oldest first, and how many of them are in flight."""

    waiting: deque[Message] = field(default_factory=deque)
    in_flight: int = 0


class Queue:
    """One queue. On a standard queue each message is a group of its own. Not thread-safe: `Sqs` holds the lock."""

    def __init__(self, url: str, clock: Callable[[], float], visibility: float, most_receives: int) -> None:
        self.url = url
        self.fifo = url.endswith(".fifo")
        self.visibility = visibility
        self.most_receives = most_receives
        self.dead_letters: Queue | None = None
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._seen: dict[tuple[str, str], tuple[float, str]] = {}
        self._forget: deque[tuple[float, tuple[str, str]]] = deque()
        self._in_flight: dict[str, Message] = {}
        self._expiry: list[tuple[float, int, str]] = []
        self._numbers = itertools.count(1)
        self._name = hashlib.sha256(url.encode()).hexdigest()[:8]

    def send(self, body: str, group: str, deduplication: str, attributes: Mapping[str, Any]) -> str:
        """Take a message, or recognise one that was sent in the last five minutes; its id either way."""
        now = self._clock()
        number = next(self._numbers)
        id = f"{self._name}-{number:012d}"
        if self.fifo:
            while self._forget and self._forget[0][0] <= now:
                self._seen.pop(self._forget.popleft()[1], None)
            name = (group, deduplication)
            if name in self._seen:
                return self._seen[name][1]
            self._seen[name] = (now, id)
            self._forget.append((now + DEDUPLICATION_SECONDS, name))
        self._append(Message(id, body, group if self.fifo else id, deduplication, number, now, attributes))
        return id

    def receive(self, count: int) -> list[Message]:
        """Up to `count` messages whose groups are free, each now in flight until its visibility timeout."""
        self._return_expired()
        taken: list[Message] = []
        while self._ready and len(taken) < count:
            name, _ = self._ready.popitem(last=False)
            group = self._groups[name]
            while group.waiting and len(taken) < count:
                message = group.waiting.popleft()
                if self.dead_letters is not None and message.receives >= self.most_receives:
                    message.sequence = next(self.dead_letters._numbers)
                    self.dead_letters._append(message)
                    continue
                self._lend(message, group)
                taken.append(message)
            self._drop_if_empty(name)
        return taken

    def delete(self, handle: str) -> None:
        """Remove a received message; an old handle of it removes nothing on a FIFO queue."""
        message = self._in_flight.pop(handle, None)
        if message is not None:
            message.gone = True
            self._landed(message)

    def delay(self, handle: str, seconds: float) -> None:
        """Let a message that is in flight come back after `seconds`. Raises Refused when it is not in flight."""
        message = self._in_flight.get(handle)
        if message is None:
            raise Refused("the message is not in flight")
        message.until = self._clock() + seconds
        heapq.heappush(self._expiry, (message.until, message.sequence, handle))

    def size(self) -> int:
        """How many messages there are, waiting or in flight."""
        self._return_expired()
        return len(self._in_flight) + sum(len(group.waiting) for group in self._groups.values())

    def lent(self) -> int:
        """How many of them are in flight."""
        return len(self._in_flight)

    def next_return(self) -> float | None:
        """When the next message in flight comes back, in the clock's seconds; None when none is."""
        while self._expiry and self._is_outdated(self._expiry[0]):
            heapq.heappop(self._expiry)
        return self._expiry[0][0] if self._expiry else None

    def _append(self, message: Message) -> None:
        group = self._groups.setdefault(message.group, Group())
        group.waiting.append(message)
        if not group.in_flight:
            self._ready[message.group] = None

    def _lend(self, message: Message, group: Group) -> None:
        now = self._clock()
        message.receives += 1
        message.first_received = message.first_received or now
        message.until = now + self.visibility
        message.handle = f"{message.id}-{message.receives}"
        group.in_flight += 1
        self._in_flight[message.handle] = message
        heapq.heappush(self._expiry, (message.until, message.sequence, message.handle))

    def _return_expired(self) -> None:
        """Put messages whose visibility timeout is over back to the head of their groups, in their order."""
        now = self._clock()
        while self._expiry and self._expiry[0][0] <= now:
            entry = heapq.heappop(self._expiry)
            if self._is_outdated(entry):
                continue
            message = self._in_flight.pop(entry[2])
            _put_back(message, self._groups[message.group].waiting)
            self._landed(message)

    def _landed(self, message: Message) -> None:
        group = self._groups[message.group]
        group.in_flight -= 1
        if not group.in_flight and group.waiting:
            self._ready[message.group] = None
        self._drop_if_empty(message.group)

    def _drop_if_empty(self, name: str) -> None:
        group = self._groups.get(name)
        if group is not None and not group.waiting and not group.in_flight:
            del self._groups[name]

    def _is_outdated(self, entry: tuple[float, int, str]) -> bool:
        until, _, handle = entry
        message = self._in_flight.get(handle)
        return message is None or message.until != until


class Sqs:
    """What Parley uses of boto3's SQS client, over queues in memory. Thread-safe; `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._queues: dict[str, Queue] = {}
        self._changed = threading.Condition()

    def create(
        self, url: str, visibility: float = 30.0, most_receives: int = 5, dead_letters: str | None = None
    ) -> str:
        """Make a queue; a name that ends in `.fifo` makes a FIFO queue. Comes back with its URL, which is its name."""
        queue = self._queues[url] = Queue(url, self._clock, visibility, most_receives)
        queue.dead_letters = self._queues[dead_letters] if dead_letters else None
        return url

    def send_message(
        self,
        *,
        QueueUrl: str,
        MessageBody: str,
        MessageGroupId: str = "",
        MessageDeduplicationId: str = "",
        MessageAttributes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As boto3's. Raises Refused for an empty body or one over 1 MiB, and for a FIFO message without good ids.

        And for characters that SQS documents as not allowed, in the body or in an attribute.
        """
        queue = self._queues[QueueUrl]
        if not 1 <= len(MessageBody.encode()) <= MOST_BYTES:
            raise Refused(f"a message of 1 to {MOST_BYTES} bytes is taken")
        if queue.fifo and not (NAME.fullmatch(MessageGroupId) and NAME.fullmatch(MessageDeduplicationId)):
            raise Refused("a FIFO message needs a group and a deduplication id of 1 to 128 printable characters")
        texts = [MessageBody, *(a["StringValue"] for a in (MessageAttributes or {}).values() if "StringValue" in a)]
        if any(UNSENDABLE.search(text) for text in texts):
            raise Refused("InvalidMessageContents: a character outside of the allowed set")
        with self._changed:
            id = queue.send(MessageBody, MessageGroupId, MessageDeduplicationId, MessageAttributes or {})
            self._changed.notify_all()
        return {"MessageId": id}

    def receive_message(
        self, *, QueueUrl: str, MaxNumberOfMessages: int = 1, WaitTimeSeconds: float = 0, **_: Any
    ) -> dict[str, Any]:
        """As boto3's, with all attributes; waits up to `WaitTimeSeconds` for the first message. Raises Refused."""
        if not 1 <= MaxNumberOfMessages <= MOST_AT_ONCE:
            raise Refused(f"1 to {MOST_AT_ONCE} messages are given at once")
        queue = self._queues[QueueUrl]
        deadline = time.monotonic() + WaitTimeSeconds
        with self._changed:
            while not (found := queue.receive(MaxNumberOfMessages)):
                left = deadline - time.monotonic()
                if left <= 0:
                    return {}
                soon = queue.next_return()
                self._changed.wait(left if soon is None else min(left, max(0.0, soon - self._clock()) + 0.001))
        return {"Messages": [_shown(message, queue.fifo) for message in found]}

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> dict[str, Any]:
        """As boto3's."""
        with self._changed:
            self._queues[QueueUrl].delete(ReceiptHandle)
            self._changed.notify_all()
        return {}

    def delete_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """As boto3's. Raises Refused for more than ten."""
        if len(Entries) > MOST_AT_ONCE:
            raise Refused(f"at most {MOST_AT_ONCE} are deleted at once")
        for entry in Entries:
            self.delete_message(QueueUrl=QueueUrl, ReceiptHandle=entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> dict[str, Any]:
        """As boto3's."""
        with self._changed:
            self._queues[QueueUrl].delay(ReceiptHandle, VisibilityTimeout)
            self._changed.notify_all()
        return {}

    def get_queue_attributes(self, *, QueueUrl: str, **_: Any) -> dict[str, Any]:
        """As boto3's, as far as numbers of messages go."""
        with self._changed:
            queue = self._queues[QueueUrl]
            held, lent = queue.size(), queue.lent()
        numbers = {"ApproximateNumberOfMessages": held - lent, "ApproximateNumberOfMessagesNotVisible": lent}
        return {"Attributes": {name: str(number) for name, number in numbers.items()}}

    def size(self, url: str) -> int:
        """How many messages a queue holds."""
        with self._changed:
            return self._queues[url].size()


class PumpQueue:
    """One of these queues as the event pump sees it."""

    def __init__(self, sqs: Sqs, url: str, region: str = "us-east-1") -> None:
        self._sqs = sqs
        self._url = url
        self.region = region
        self.arn = f"arn:aws:sqs:{region}:000000000000:{url}"

    def receive(self, count: int) -> list[dict[str, Any]]:
        """Up to `count` messages; waits up to a second for the first."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=count, WaitTimeSeconds=1)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def delete(self, receipt_handles: list[str]) -> None:
        """Remove received messages."""
        for handle in receipt_handles:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)


def _put_back(message: Message, waiting: deque[Message]) -> None:
    """Before all that is newer. What came back before it may be older; nothing else that waits is."""
    place = 0
    while place < len(waiting) and waiting[place].sequence < message.sequence:
        place += 1
    waiting.insert(place, message)


def _shown(message: Message, fifo: bool) -> dict[str, Any]:
    """A message as ReceiveMessage gives it."""
    attributes = {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": str(int(message.sent * 1000)),
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": str(int(message.first_received * 1000)),
    }
    if fifo:
        attributes |= {
            "MessageGroupId": message.group,
            "MessageDeduplicationId": message.deduplication,
            "SequenceNumber": f"{message.sequence:020d}",
        }
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "Body": message.body,
        "MD5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "Attributes": attributes,
        "MessageAttributes": dict(message.attributes),
    }
