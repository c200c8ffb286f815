"""What the stages need from the world, as Protocols. Names no vendor; adapters implement these, fakes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # names in signatures only: receive must not pay for the classes of other stages at its start
    from parley.domain.bot import Bot
    from parley.domain.budget import Budget, Level
    from parley.domain.conversation import Change, Conversation, EventMark
    from parley.domain.message import Cancel, Incoming, Message
    from parley.domain.turn import Ask, ModelReply, Outgoing, Patience, Turn


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it came in: `headers` with lower-case names, `body` the raw bytes that a signature covers."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the platform gets back once every message of the webhook is safe in the inbox."""

    status: int = 200
    body: str = ""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A verified and parsed webhook: the messages it brought (often one, or none) and the answer to give."""

    messages: Sequence[Incoming] = ()
    answer: WebhookAnswer = field(default_factory=WebhookAnswer)


class Channel(Protocol):
    """One messaging platform for one bot, with that bot's credentials."""

    name: str

    def read(self, request: WebhookRequest, now: float) -> Webhook:
        """The webhook, verified over its raw body. `now` is epoch seconds.

        Raises Unauthorized for a bad signature, secret or timestamp, BadRequest for a body that cannot be read.
        """

    def pieces(self, text: str) -> list[str]:
        """The text (standard Markdown) in pieces, still Markdown, that each fit one message of the platform."""

    def send(self, reply_to: Mapping[str, str], piece: str) -> str | None:
        """Send one piece; comes back with the platform's id of it, when it gives one.

        Raises ChannelBusy(retry_after) where a later try can succeed, ChannelRefused where none will.
        """


class Channels(Protocol):
    """The channels that are switched on."""

    def get(self, channel: str, bot: str) -> Channel | None:
        """The channel for this bot; None when the bot has no credentials for it, or there is no such channel."""


class Inbox(Protocol):
    """User messages, and their users' commands, on their way in."""

    def put(self, record: Incoming | Cancel) -> None:
        """Queue it; ordered within its conversation. Comes back only when the queue has it."""

    def bury(self, body: str, conversation: str, name: str, reason: str) -> None:
        """Keep a record in the dead-letter queue, with the reason. `name` is the same for a repeat of it."""


class Outbox(Protocol):
    """Messages on their way out to channels."""

    def put(self, outgoing: Outgoing) -> None:
        """Queue it; ordered within its conversation."""

    def bury(self, outgoing: Outgoing, reason: str, attempt: int) -> None:
        """Keep it in the dead-letter queue, with the reason: it cannot be delivered now, and may be replayed.

        Each `attempt` at its delivery is buried once: one that was replayed, and failed again, is kept again.
        """

    def bury_unreadable(self, body: str, name: str, reason: str) -> None:
        """Keep a record that is none of ours in the dead-letter queue."""


class Conversations(Protocol):
    """The table, as the stages see it. Reads are strongly consistent unless they say otherwise."""

    def load(self, conversation: str, newest: int) -> tuple[Conversation | None, list[Message]]:
        """The conversation and at most `newest` of its messages, oldest first: one query."""

    def find(self, conversation: str) -> Conversation | None:
        """The conversation alone: one read."""

    def commit(self, change: Change) -> None:
        """Write a change whole or not at all: one transaction.

        A turn that it opens is taken off its user's allowance, one that it ends is given back, with its tokens counted.
        Raises AlreadySeen(mark) when its event was stored before, Conflict when the conversation has moved on, and
        OverLimit(over) when there is nothing left to take, or `refusal` would tell the user what it was told already.
        """

    def mark(self, conversation: str, event: str) -> EventMark | None:
        """Where the event went; None when it has not been stored."""

    def turn(self, conversation: str, number: int) -> Turn | None:
        """One turn."""

    def turns(self, conversation: str, upto: int, count: int) -> list[Turn]:
        """At most `count` turns with numbers up to `upto`, the newest first: one query."""

    def message(self, conversation: str, sequence: int) -> Message | None:
        """One message."""

    def messages(self, conversation: str, before: int, limit: int) -> list[Message]:
        """At most `limit` messages with a sequence below `before`, oldest first."""

    def rate(self, conversation: str, sequence: int, rating: str | None) -> None:
        """Keep what a person thinks of an answer; None takes it back. Raises Conflict where no answer is there."""

    def sent(self, turn: Turn, pieces: int, done: bool, now: float) -> None:
        """Mark that `pieces` pieces of what the turn sends out have been sent; `done` when there are no more.

        Raises Conflict when another run has marked as many already.
        """

    def undeliverable(self, turn: Turn, error: str, now: float) -> None:
        """Mark that the channel will never take what the turn sends out; a turn that failed keeps its own error.

        Raises Conflict when the delivery came to an end meanwhile.
        """

    def postpone(self, turn: Turn, deadline: float) -> None:
        """Give an unsent turn's delivery until `deadline` (epoch seconds) and count one more try."""

    def tell_once(self, turn: Turn) -> bool:
        """Mark that the turn's user is told that the model is waking up; False when that was marked, or it is over."""

    def overdue(self, now: float, limit: int) -> list[tuple[str, int]]:
        """(conversation, turn) of at most `limit` open turns past their deadline; eventually consistent."""

    def of_user(self, user: str, limit: int) -> list[Conversation]:
        """A user's conversations, the newest first; eventually consistent, with id, title, status and updated only."""

    def forget(self, conversation: str) -> None:
        """Remove everything that was said in the conversation.

        Marks of its events stay until they expire, marked as deleted and without what callers wrote into them.
        """

    def forget_messages(self, conversation: str, mark: EventMark, sequences: Sequence[int]) -> None:
        """Remove these messages, and write the mark of the event that they go with: one transaction.

        Raises Conflict when the conversation itself has been deleted.
        """


class Backend(Protocol):
    """The model, somewhere behind a queue."""

    def ask(self, ask: Ask, request: Mapping[str, Any]) -> None:
        """Hand over one Chat Completions request; the result comes back later, named by `ask`."""

    def read(self, notification: str) -> tuple[Ask, ModelReply]:
        """What a notification (a record of the replies queue) tells: which call ended, and how.

        Raises UnreadableRecord when it is none of ours.
        """

    def result(self, ask: Ask) -> ModelReply | None:
        """The result of an earlier `ask` when it is there, though nobody told us."""

    def awake(self) -> bool:
        """Whether the model runs now; False when the next answer has to wait for a start. May be some seconds old."""


class Guard(Protocol):
    """What keeps the month's budget: it counts the model's instances, and can do without them."""

    def closed(self, now: float) -> bool:
        """Whether the budget is used up and the model rests. May be some minutes old."""

    def resting(self) -> bool:
        """Whether `close` was called and not `open` since, whatever the time."""

    def instances(self) -> int:
        """How many instances of the model run now."""

    def add(self, month: str, seconds: float) -> tuple[float, Level]:
        """The month's seconds of one instance, these added; and the level that its owner was told."""

    def tell(self, month: str, level: Level, text: str) -> None:
        """Tell the owner, and remember for this month that it was told."""

    def close(self, until: float) -> None:
        """Let no instance run until then (epoch seconds)."""

    def woke(self, seconds: float, now: float) -> None:
        """Remember how long a wake-up took, once for all the turns that waited for it."""

    def estimate(self) -> float | None:
        """How many seconds a wake-up takes, from the last ones; None before the first."""

    def open(self) -> None:
        """Let instances run again."""


class Callers(Protocol):
    """Who may use the HTTP API."""

    def admit(self, key: str, now: float) -> str:
        """The caller that owns an API key, and one request taken off its allowance of this minute.

        Raises Unauthorized for an unknown key, TooManyRequests when the allowance is used up.
        """

    def identify(self, key: str) -> str:
        """The caller that owns an API key, at no cost to its allowance. Raises Unauthorized."""


class Allowances(Protocol):
    """What users may take of the model."""

    def admit(self, user: str, conversation: str, now: float, opens: bool = True) -> None:
        """Count one request of this minute, when it may go in; what it leads to is held to the limits once more.

        One that opens no turn is held to the minute's requests alone. Raises OverLimit.
        """


class Bots(Protocol):
    """The personas of this deployment."""

    def get(self, name: str) -> Bot | None:
        """The bot of that name."""

    def names(self) -> list[str]:
        """All of them, in alphabetical order."""


class Secrets(Protocol):
    """Credentials, kept where credentials belong."""

    def get(self, name: str) -> Mapping[str, str] | None:
        """The fields of one secret, for instance `bots/default/slack`; None when there is no such secret."""


class Telemetry(Protocol):
    """What the owner can see. Never carries message text."""

    def follow(self, trace: str, conversation: str) -> None:
        """Put this correlation id on every log line until the next call."""

    def count(self, metric: str, value: float = 1, unit: str = "Count") -> None:
        """Add to a metric."""

    def note(self, event: str, **facts: Any) -> None:
        """A log line."""

    def warn(self, event: str, **facts: Any) -> None:
        """A log line for something that a person may want to look at."""


class Ports(Protocol):
    """Everything a stage may need, each made when it is first asked for: a Lambda pays for what its stage uses."""

    @property
    def conversations(self) -> Conversations: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def backend(self) -> Backend: ...
    @property
    def allowances(self) -> Allowances: ...
    @property
    def bots(self) -> Bots: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def patience(self) -> Patience: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def guard(self) -> Guard: ...
