"""A conversation in each state in which an upgrade can meet it, and what must have become of it at the end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from parley.domain.message import Said
from parley.domain.turn import TurnStatus
from parley.errors import ChannelRefused
from tests.stages.world import VISIBILITY
from tests.upgrade.deployment import Deployment

FAILURE = "ClientError: Received server error (500) from primary. See the logs."
REFUSAL = "ClientError: Received client error (400) from primary. See the logs."
LONG = "a" * 40 + "b" * 40 + "c" * 10


@dataclass(frozen=True)
class End:
    """What must have become of a conversation: what its channel took in all, how its turns ended, its answers.

    `sent_before` is how many of the pieces went out before the upgrade.
    """

    sent: tuple[str, ...] = ()
    turns: tuple[TurnStatus, ...] = (TurnStatus.DELIVERED,)
    answers: tuple[str, ...] = ("to: one",)
    sent_before: int = 0


D, F, U, C = TurnStatus.DELIVERED, TurnStatus.FAILED, TurnStatus.UNDELIVERABLE, TurnStatus.CANCELLED
NOTICE = ("Sorry, I could not answer that. Please t", "ry again in a moment.")

ENDS = {
    "slack:T1:in-the-inbox": End(("to: one", "to: two"), (D, D), ("to: one", "to: two"), sent_before=1),
    "slack:T1:with-messages-waiting": End(("to: one", "to: three"), (D, D), ("to: one", "to: three")),
    "slack:T1:with-its-result-in-replies": End(("to: one",)),
    "slack:T1:with-a-failure-in-replies": End(("to: one",)),
    "slack:T1:with-its-result-in-the-bucket": End(("to: one",)),
    "slack:T1:without-a-result": End(("to: one",)),
    "slack:T1:in-the-outbox": End(("to: one",)),
    "slack:T1:half-sent": End((LONG[:40], LONG[40:80], LONG[80:]), (D,), (LONG,), sent_before=1),
    "slack:T1:with-a-notice-in-the-outbox": End(NOTICE, (F,), ()),
    "slack:T1:given-up": End((), (U,)),
    "web:v1:to-be-cancelled": End((), (C,), ()),
    "web:v1:with-a-message-taken-back": End(),
    "api:caller:c_with-everything": End(),
}
"""By the conversations' names."""


def bring_about(deployment: Deployment) -> None:
    """Bring a conversation into each of the states."""
    deployment.keep_accounts()
    name = iter(ENDS)
    _first_turn(deployment, next(name))
    waiting, in_replies, failure, in_bucket, silent, outbox, half, notice, given_up = islice(name, 9)
    _end_with_something_to_send(deployment, half, given_up)
    web, taken_back, api = name
    deployment.say("w1", "one", web, user="web:v1")
    deployment.say("b1", "one", taken_back, user="web:v1")
    deployment.say("b2", "two", taken_back, user="web:v1")
    deployment.cancel(taken_back, event="b2")
    deployment.say(
        "a1", "one", api, user="api:caller", preface=(Said("system", "Be brief."), Said("user", "before")),
        options={"temperature": 0.5, "stop": ["x"]}, details={"metadata": {"a": "b"}, "background": True},
    )  # fmt: skip
    for number, conversation in enumerate((waiting, in_replies, failure, in_bucket, silent, outbox, notice)):
        deployment.say(f"s{number}", "one", conversation)
    deployment.work()
    for text in ("two", "three"):
        deployment.say(text, text, waiting)
    deployment.work()
    ends = {web: "later", taken_back: "later", api: "later", waiting: "later", in_bucket: "bucket"}
    reasons = {failure: FAILURE, notice: REFUSAL}
    for conversation in (outbox, notice):  # their results are taken, and what they send stays in the outbox
        deployment.end_call_of(conversation, reason=reasons.get(conversation, ""))
    deployment.pump("replies", 10)
    for conversation in (web, taken_back, api, waiting, in_replies, failure, in_bucket):
        deployment.end_call_of(conversation, to=ends.get(conversation, "replies"), reason=reasons.get(conversation, ""))
    deployment.say("last", "two", next(iter(ENDS)))
    deployment.cancel(web, turn=1)


def _first_turn(deployment: Deployment, conversation: str) -> None:
    deployment.say("i1", "one", conversation)
    deployment.work()
    deployment.end_call_of(conversation)
    deployment.work()
    deployment.table.rate(conversation, 2, "up")


def _end_with_something_to_send(deployment: Deployment, half: str, given_up: str) -> None:
    """One answer is half sent, and its record lost; another one is refused by its channel."""
    deployment.say("h1", "one", half)
    deployment.say("g1", "one", given_up)
    deployment.work()
    deployment.end_call_of(given_up)
    deployment.platform.refusal = ChannelRefused("channel_not_found")
    deployment.work()
    deployment.platform.refusal = None
    deployment.end_call_of(half, LONG)
    deployment.pump("replies", 10)
    deployment.die_at = (len(deployment.steps) + 5, "before")  # read, cut, send and mark a piece; not the second one
    deployment.pump("outbox.fifo")
    deployment.pass_time(VISIBILITY + 1)
    deployment.take_all("outbox.fifo")
