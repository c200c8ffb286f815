"""Everything that Parley raises on purpose. Knows no HTTP and no AWS; the edges turn these into answers.

ParleyError
├── RequestError                what a caller did wrong, or may not do
│   ├── BadRequest              a field is wrong; `param` names it
│   ├── Unauthorized            no credentials, or wrong ones
│   ├── NotFound                unknown, or another caller's: one answer for both
│   ├── TooLarge                over a limit in bytes
│   └── TooManyRequests         over a limit in time; `retry_after` seconds
├── WriteError                  a conditional write that did not hold
│   ├── Conflict                somebody else changed the conversation first
│   ├── AlreadySeen             this event is in the conversation already; `mark` says where
│   └── OverLimit               the user has taken all that it may; `over` says of what
├── StaleResult                 a model result that nobody waits for any more
├── Misconfigured               what the owner set cannot be used
├── UnreadableRecord            a queue record that cannot be understood
└── DeliveryError               a channel did not take a message
    ├── ChannelBusy             try again after `retry_after` seconds
    └── ChannelRefused          it never will
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parley.domain.conversation import EventMark
    from parley.domain.limits import Over


class ParleyError(Exception):
    """Root of the family: `except ParleyError` catches what Parley means, and no bug."""


class RequestError(ParleyError):
    """A request that cannot be served; its text is shown to the caller."""


class BadRequest(RequestError):
    """A field of a request is wrong; `param` is its name, `code` a word for programs."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Unauthorized(RequestError):
    """Credentials, a signature or a secret are missing or wrong."""


class NotFound(RequestError):
    """There is no such thing for this caller; `code` is a word for programs."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class TooLarge(RequestError):
    """A request is over a limit given in bytes."""


class TooManyRequests(RequestError):
    """A caller is over its rate; it may come back after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WriteError(ParleyError):
    """A write whose condition did not hold; nothing of it was written."""


class Conflict(WriteError):
    """The conversation changed since it was read: read it again and decide anew."""


class AlreadySeen(WriteError):
    """The event was stored before; `mark` is what the first run left."""

    def __init__(self, mark: EventMark) -> None:
        super().__init__(f"event {mark.event} is already in turn {mark.turn}")
        self.mark = mark


class OverLimit(WriteError):
    """The user may not take more just now; `over` says of what, and until when."""

    def __init__(self, over: Over) -> None:
        super().__init__(over.error)
        self.over = over


class StaleResult(ParleyError):
    """A result for a (turn, step) that is not the one being waited for."""


class Misconfigured(ParleyError):
    """A setting or a secret is missing or cannot be used; the text names it, says what to do, and may be logged."""


class UnreadableRecord(ParleyError):
    """A queue record that is no JSON, of an unknown version, or lacks a field: it belongs in the dead-letter queue."""


class DeliveryError(ParleyError):
    """A message that a channel did not take; the text names the channel's own error."""


class ChannelBusy(DeliveryError):
    """The channel asks for patience (429, 5xx, no connection); `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChannelRefused(DeliveryError):
    """The channel will not take this message however often it is sent (revoked token, unknown chat)."""
