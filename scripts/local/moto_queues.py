"""SQS semantics that moto lacks, put into moto's own queues.

moto's long poll spins while a FIFO group is locked, two receives at once may hand out one message twice,
and a FIFO queue forgets a deduplication id with its message. Here a receive is atomic under the emulator's
lock and sleeps until something can have changed, deduplication lasts five minutes as on AWS, sequence
numbers grow, and a FIFO message whose visibility ran out cannot be deleted with the old handle.
Knows nothing of HTTP or of where state is kept: it tells a ``QueueObserver`` what changed.
"""

from __future__ import annotations

import copy
import threading
import time
from operator import attrgetter
from typing import Any, Protocol

from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, SQSBackend, _filter_message_attributes

DEDUPLICATION_SECONDS = 300  # AWS: the deduplication interval of a FIFO queue


class QueueObserver(Protocol):
    """Told of every change to a queue, under the lock, before the request that caused it is answered."""

    def message_changed(self, queue: Queue, message: Message) -> None:
        """The message was added, received or hidden: its fields are current."""

    def message_removed(self, queue: Queue, message: Message) -> None:
        """The message is no longer in the queue."""

    def deduplication_remembered(self, queue: Queue, key: str, message: Message) -> None:
        """A send with the same ``key`` is a duplicate of this message for DEDUPLICATION_SECONDS."""


class QueueSemantics:
    """The replacement methods, bound to one lock and one observer; ``install()`` puts them into moto.

    ``waited`` holds, for the current thread, the seconds its receive slept (the lock was free meanwhile).
    """

    def __init__(self, lock: threading.RLock, observer: QueueObserver) -> None:
        self._lock = lock
        self._observer = observer
        self._sequence = time.time_ns()
        self.waited = threading.local()

    def install(self) -> None:
        """Replace the methods in this process. Call once, before the first request."""
        semantics = self

        def add_message(queue: Queue, message: Message) -> None:
            semantics.add(queue, message)

        def delete_message(queue: Queue, receipt_handle: str) -> None:
            semantics.delete(queue, receipt_handle)

        def receive_message(
            backend: SQSBackend,
            queue_name: str,
            count: int,
            wait_seconds_timeout: int,
            visibility_timeout: int,
            message_attribute_names: list[str] | None = None,
        ) -> list[Message]:
            queue = backend.get_queue(queue_name)
            return semantics.receive(queue, count, wait_seconds_timeout, visibility_timeout, message_attribute_names)

        def change_visibility(
            backend: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
        ) -> None:
            moto_change_visibility(backend, queue_name, receipt_handle, visibility_timeout)
            semantics.visibility_changed(backend.get_queue(queue_name), receipt_handle)

        def purge_queue(backend: SQSBackend, queue_name: str) -> None:
            messages = list(backend.get_queue(queue_name)._messages)
            moto_purge(backend, queue_name)
            for message in messages:
                semantics._forget(backend.get_queue(queue_name), message)

        moto_change_visibility = SQSBackend.change_message_visibility
        moto_purge = SQSBackend.purge_queue
        replacements: list[tuple[type, str, Any]] = [
            (Queue, "add_message", add_message),
            (Queue, "delete_message", delete_message),
            (SQSBackend, "receive_message", receive_message),
            (SQSBackend, "change_message_visibility", change_visibility),
            (SQSBackend, "purge_queue", purge_queue),
            *((Queue, name, property(count)) for name, count in _COUNTS.items()),
        ]
        for owner, name, replacement in replacements:
            setattr(owner, name, replacement)

    # -- send ----------------------------------------------------------------------------------------------

    def add(self, queue: Queue, message: Message) -> None:
        """Append a message, or make it a copy of the one that it duplicates (as AWS answers such a send)."""
        state = _state(queue, self._lock)
        if queue.fifo_queue and message.deduplication_id is not None:
            key = deduplication_key(queue, message)
            remembered = state.deduplication.get(key)
            if remembered and remembered[0] > time.time():
                message.id, message.sequence_number = remembered[1], remembered[2]
                return
            self._sequence += 1
            message.sequence_number = f"{self._sequence:020d}"
            state.deduplication[key] = (
                time.time() + DEDUPLICATION_SECONDS,
                message.id,
                message.sequence_number,
            )
            self._observer.deduplication_remembered(queue, key, message)
        queue._messages.append(message)
        self._observer.message_changed(queue, message)
        state.changed.notify_all()

    def restore(self, queue: Queue, message: Message) -> None:
        """Append a message of an earlier run: visible at once, since whoever had received it is gone."""
        queue._messages.append(message)
        _state(queue, self._lock).changed.notify_all()

    def restore_deduplication(self, queue: Queue, key: str, until: float, message_id: str, sequence: str) -> None:
        """Remember a deduplication key of an earlier run until the epoch second ``until``."""
        _state(queue, self._lock).deduplication[key] = (until, message_id, sequence)

    # -- receive -------------------------------------------------------------------------------------------

    def receive(
        self,
        queue: Queue,
        count: int,
        wait_seconds: int,
        visibility_seconds: int,
        attribute_names: list[str] | None,
    ) -> list[Message]:
        """Return at most ``count`` messages, waiting up to ``wait_seconds`` with the lock released."""
        state = _state(queue, self._lock)
        deadline = time.monotonic() + wait_seconds
        while True:
            received = self._take(queue, state, count, int(visibility_seconds or 0))
            remaining = deadline - time.monotonic()
            if received or remaining <= 0:
                break
            started = time.monotonic()
            state.changed.wait(max(0.001, min(remaining, _seconds_to_next_visible(queue))))
            self.waited.seconds = getattr(self.waited, "seconds", 0.0) + time.monotonic() - started
        copies = [copy.copy(message) for message in received]
        for message in copies:
            _filter_message_attributes(message, attribute_names or [])
        return copies

    def _take(self, queue: Queue, state: _QueueState, count: int, visibility_seconds: int) -> list[Message]:
        now = time.time() * 1000
        state.in_flight = {message for message in state.in_flight if message.visible_at > now}
        locked = {message.group_id for message in state.in_flight} if queue.fifo_queue else set()
        taken: list[Message] = []
        exhausted: list[Message] = []
        too_old = now - queue.message_retention_period * 1000  # type: ignore[attr-defined]
        for message in queue._messages:
            if len(taken) == count:
                break
            if message.visible_at > now or message.delayed_until > now:
                continue
            if queue.fifo_queue and message.group_id in locked:
                continue
            if message.sent_timestamp < too_old or _exhausted(queue, message):
                exhausted.append(message)
                continue
            taken.append(message)
        for message in exhausted:
            self._retire(queue, message, expired=message.sent_timestamp < too_old)
        for message in taken:
            message.mark_received(visibility_seconds)
            # moto keeps every handle that a message ever had; the newest few are enough to find it by
            del message._old_receipt_handles[:-8]
            state.in_flight.add(message)
            self._observer.message_changed(queue, message)
        return taken

    def _retire(self, queue: Queue, message: Message, expired: bool) -> None:
        self._forget(queue, message)
        target = queue.dead_letter_queue
        if not expired and target is not None:
            message.visible_at = 0.0
            target._messages.append(message)
            self._observer.message_changed(target, message)
            _state(target, self._lock).changed.notify_all()

    # -- delete --------------------------------------------------------------------------------------------

    def delete(self, queue: Queue, receipt_handle: str) -> None:
        """Remove the message that this handle received. Deleting twice is no error, as on AWS.

        Raises ReceiptHandleIsInvalid for a handle never given out, and InvalidParameterValue for a FIFO
        message whose visibility timeout has passed.
        """
        state = _state(queue, self._lock)
        if receipt_handle in queue.deleted_messages:
            return
        message = _find(queue, receipt_handle)
        if message is None:
            raise ReceiptHandleIsInvalid()
        if queue.fifo_queue and (message.receipt_handle != receipt_handle or message.visible):
            raise InvalidParameterValue(
                f"Value {receipt_handle} for parameter ReceiptHandle is invalid. "
                "Reason: The receipt handle has expired."
            )
        self._forget(queue, message)
        queue.deleted_messages.add(receipt_handle)
        state.changed.notify_all()

    def visibility_changed(self, queue: Queue, receipt_handle: str) -> None:
        """Record a changed visibility timeout and wake the receivers that may now get the message."""
        message = _find(queue, receipt_handle)
        if message is not None:
            self._observer.message_changed(queue, message)
        _state(queue, self._lock).changed.notify_all()

    def _forget(self, queue: Queue, message: Message) -> None:
        if message in queue._messages:
            queue._messages.remove(message)
        _state(queue, self._lock).in_flight.discard(message)
        self._observer.message_removed(queue, message)


class _QueueState:
    """What a queue needs beside moto's own attributes; lives on the queue so that it ends with it."""

    def __init__(self, lock: Any) -> None:
        self.changed = threading.Condition(lock)
        self.in_flight: set[Message] = set()
        self.deduplication: dict[str, tuple[float, str, str]] = {}


def deduplication_key(queue: Queue, message: Message) -> str:
    """Return the name under which a FIFO send is a duplicate: its id, within its group if so configured."""
    by_group = getattr(queue, "deduplication_scope") == "messageGroup"  # noqa: B009  moto sets it by name
    return f"{message.group_id if by_group else ''}\n{message.deduplication_id}"


def _state(queue: Queue, lock: Any) -> _QueueState:
    state: _QueueState | None = queue.__dict__.get("_parley_state")
    if state is None:
        state = queue.__dict__["_parley_state"] = _QueueState(lock)
    if len(state.deduplication) > 10_000:
        now = time.time()
        state.deduplication = {key: kept for key, kept in state.deduplication.items() if kept[0] > now}
    return state


def _exhausted(queue: Queue, message: Message) -> bool:
    policy = queue.redrive_policy
    if queue.dead_letter_queue is None or not policy:
        return False
    return bool(message.approximate_receive_count >= policy["maxReceiveCount"])


def _find(queue: Queue, receipt_handle: str) -> Message | None:
    for message in queue._messages:
        if message.receipt_handle == receipt_handle or receipt_handle in message._old_receipt_handles:
            return message
    return None


# moto builds all attributes, with these three, several times for each send; its own versions make a datetime
# for each message in the queue.
_COUNTS = {
    "approximate_number_of_messages": lambda queue: len(queue._messages) - _hidden(queue),
    "approximate_number_of_messages_not_visible": lambda queue: _later(queue, "visible_at"),
    "approximate_number_of_messages_delayed": lambda queue: _later(queue, "delayed_until"),
}


def _hidden(queue: Queue) -> int:
    now = time.time() * 1000
    return sum(1 for message in queue._messages if message.visible_at > now or message.delayed_until > now)


def _later(queue: Queue, field: str) -> int:
    now = time.time() * 1000
    read = attrgetter(field)
    return sum(1 for message in queue._messages if read(message) > now)


def _seconds_to_next_visible(queue: Queue) -> float:
    now = time.time() * 1000
    hidden = [max(message.visible_at, message.delayed_until) for message in queue._messages]
    return min((at - now for at in hidden if at > now), default=20_000.0) / 1000 + 0.001
