"""What happens in a run when nothing goes wrong. Which calls that makes is recorded, so it is written nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from parley.domain.budget import Level
from parley.domain.turn import TurnStatus
from tests.channels.platforms import Answer
from tests.chaos.model import Outcome
from tests.chaos.system import System

WAKING = "The model is waking up"
"""How the notice begins that belongs to no turn's end."""

BUDGET = {"PARLEY_BUDGET_USD": "1", "PARLEY_INSTANCE_USD": "50"}
"""An instance uses it up in 72 seconds: two sweeps."""

MOST_TOLD = 5
"""At 80%, at 100%, and the SDK's three tries where no answer came and the run died between telling and noting it."""


@dataclass(frozen=True)
class Scenario:
    """`ends`: how its turns may end, whatever goes wrong. `dead_letters`: how many are right."""

    name: str
    says: str
    play: Callable[[System], None]
    ends: frozenset[TurnStatus] = frozenset({TurnStatus.DELIVERED})
    dead_letters: int = 0
    needs_the_sweep: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def one_on_slack(system: System) -> None:
    """Receive, think, model, reply, deliver."""
    system.slack("hello")
    system.settle()


def one_on_telegram(system: System) -> None:
    """The same with another channel."""
    system.telegram("hello")
    system.settle()


def one_on_the_api(system: System) -> None:
    """Nothing to deliver: the caller comes and fetches."""
    id = system.ask("hello")
    system.settle()
    system.fetch(id, "completed")


def waiting_caller(system: System) -> None:
    """The request waits for its answer, while the other functions work."""
    id = system.ask("hello", background=False)
    system.settle()
    system.fetch(id, "completed")


def older_response(system: System) -> None:
    """A caller goes on from an answer that is not the newest: a new conversation, which takes along what was said."""
    first = system.ask("first")
    system.settle()
    system.ask("second")
    system.settle()
    system.ask("another second", conversation=None, previous_response_id=first)
    system.settle()


def deleted(system: System) -> None:
    """A caller has its response deleted: nothing of it is left."""
    id = system.ask("hello")
    system.settle()
    system.delete(id)
    system.said.clear()
    if "hello" in str(system.world.cloud.items()):
        system.complaints.append("what was deleted is still there")


def meanwhile(system: System) -> None:
    """Two messages come while the model thinks: together they are the next turn."""
    system.slack("first")
    system.work("Inbox")
    system.slack("second")
    system.slack("third")
    system.work("Inbox")
    system.settle()


def several_threads(system: System) -> None:
    """A batch holds records of several conversations."""
    for thread in ("1.0", "2.0", "3.0"):
        system.slack(f"hello in {thread}", thread)
    system.settle()


def long_answer(system: System) -> None:
    """An answer in several pieces, each marked when it is sent."""
    text = "\n\n".join(f"Paragraph {number}. " + ("All work and no play. " * 130).strip() for number in range(3))
    system.model.answers = lambda asked: text
    system.slack("tell me everything")
    system.settle()


def large_prompt(system: System) -> None:
    """A prompt that goes through the bucket, and a result that does not fit its notification."""
    system.model.outcomes["1-1-1"] = Outcome(inline=False)
    earlier = [{"role": "user", "content": f"{number} " * 15_000} for number in range(5)]
    system.ask("and now?", input=[*earlier, {"role": "user", "content": "and now?"}])
    system.settle()


def cancelled(system: System) -> None:
    """A caller stops the turn in progress; the model's result comes later, and is dropped."""
    id = system.ask("hello")
    system.work("Inbox")
    system.api("POST", f"/v1/responses/{id}/cancel")
    system.settle()
    system.fetch(id, "cancelled", "completed")


def withdrawn(system: System) -> None:
    """A caller takes back a message that still waits for its turn."""
    system.ask("first")
    system.work("Inbox")
    id = system.ask("second")
    system.work("Inbox")
    system.api("POST", f"/v1/responses/{id}/cancel")
    system.settle()
    system.fetch(id, "cancelled", "completed")


def model_error(system: System) -> None:
    """The first attempt fails, and a message waits for the turn after it."""
    system.model.outcomes["1-1-1"] = Outcome(status=500)
    system.slack("first")
    system.work("Inbox")
    system.slack("second")
    system.settle()


def model_gives_up(system: System) -> None:
    """Every attempt fails, and the user is told."""
    system.model.outcomes |= {f"1-1-{attempt}": Outcome(status=500) for attempt in (1, 2, 3)}
    system.slack("hello")
    system.settle()


def lost_notification(system: System) -> None:
    """The result lies in the bucket, and nobody is told."""
    system.model.outcomes["1-1-1"] = Outcome(told=False)
    system.slack("first")
    system.work("Inbox")
    system.slack("second")
    system.settle()


def silent_model(system: System) -> None:
    """The first attempt never ends."""
    system.model.outcomes["1-1-1"] = Outcome(silent=True)
    system.slack("hello")
    system.settle()


def busy_channel(system: System) -> None:
    """The channel asks for patience."""
    system.world.slack.platform.script(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "45"}))
    system.slack("hello")
    system.settle()


def channel_down(system: System) -> None:
    """The channel is down for longer than a queue tries: the sweep tries again."""
    system.world.slack.platform.script(*[Answer(503, {"ok": False})] * 8)
    system.slack("hello")
    system.settle()


def refusing_channel(system: System) -> None:
    """The channel will never take the answer: it becomes a dead letter, and keeps nothing behind it."""
    system.world.slack.platform.script(*[Answer(200, {"ok": False, "error": "channel_not_found"})] * 20)
    system.slack("hello")
    system.settle()


def budget_used_up(system: System) -> None:
    """The owner is told at 80% and at 100%, the model rests, and who writes then is told."""
    system.slack("first")
    system.work("Inbox")
    for _ in range(6):
        system.pass_time(60)
        system.sweep()
    system.pass_time(300)  # what a process knows of the flag may be five minutes old
    system.slack("second")
    system.settle()
    meter = next(item for item in system.world.cloud.items() if item["sk"]["S"] == "METER" and "told" in item)
    if Level(int(meter["told"]["N"])) is not Level.CLOSED:
        system.complaints.append("the owner was not told that the model rests")
    told = system.acted("sns.Publish")
    if told > MOST_TOLD:
        system.complaints.append(f"the owner was told {told} times")
    if system.model.instances:
        system.complaints.append("the endpoint may still run")
    if any(body["text"].startswith(WAKING) for body in system.world.slack.taken):
        system.complaints.append("somebody was told that a model wakes up which rests")


def waking_model(system: System) -> None:
    """No instance runs: who waits is told once, and how long it took is remembered."""
    system.model.instances = 0
    system.model.outcomes["1-1-1"] = Outcome(seconds=90)
    system.slack("hello")
    system.work("Inbox")
    for _ in range(3):
        system.pass_time(60)
        system.sweep()
    system.settle()
    told = sum(call.function == "sweep" and call.name == "slack.chat.postMessage" for call in system.world.proxy.calls)
    if told > 1:
        system.complaints.append(f"{told} notices that the model is waking up")


def visitor(system: System) -> None:
    """A visitor of the page."""
    system.page("hello")
    system.settle()
    system.look()


def over_the_limit(system: System) -> None:
    """A user asks in a second thread while the first is answered, which is one turn too many; later it is not."""
    system.slack("first", "1.0")
    system.work("Inbox")
    system.slack("too much", "2.0")
    system.settle()
    system.pass_time(60)
    system.slack("later", "3.0")
    system.settle()
    if system.ends("slack:T1:C1/3.0") != [TurnStatus.DELIVERED]:
        system.complaints.append("what the user had taken was not given back")


FAILS, CANCELS = frozenset({TurnStatus.FAILED}), frozenset({TurnStatus.CANCELLED, TurnStatus.DELIVERED})

SCENARIOS = (
    Scenario("slack", "one message on Slack", one_on_slack),
    Scenario("telegram", "one message on Telegram", one_on_telegram),
    Scenario("api", "one request of the API, fetched", one_on_the_api),
    Scenario("api-waits", "one request that waits for its answer", waiting_caller),
    Scenario("api-branch", "a request that goes on from an older response", older_response),
    Scenario("api-delete", "a response is deleted", deleted),
    Scenario("page", "a visitor writes on the page", visitor),
    Scenario("meanwhile", "two messages come while the model thinks", meanwhile),
    Scenario("threads", "three conversations in one batch", several_threads),
    Scenario("pieces", "an answer in several pieces", long_answer),
    Scenario("large", "prompt and result through the bucket", large_prompt),
    Scenario("cancel", "a turn is cancelled", cancelled, CANCELS),
    Scenario("withdraw", "a waiting message is taken back", withdrawn, CANCELS),
    Scenario("retry", "the model fails once", model_error),
    Scenario("give-up", "the model fails every time", model_gives_up, FAILS, dead_letters=1),
    Scenario("lost", "a notification is lost", lost_notification, needs_the_sweep=True),
    Scenario("silent", "the model never answers the first try", silent_model, needs_the_sweep=True),
    Scenario("busy", "the channel is busy", busy_channel),
    Scenario("down", "the channel is down for long", channel_down, needs_the_sweep=True),
    Scenario(
        "refused", "the channel refuses for good", refusing_channel, frozenset({TurnStatus.UNDELIVERABLE}),
        dead_letters=1,
    ),
    Scenario(
        "limit", "a user takes too many turns at once", over_the_limit, FAILS | {TurnStatus.DELIVERED},
        settings={"PARLEY_USER_TURNS_AT_ONCE": "1"},
    ),
    Scenario(
        "budget", "the month's budget is used up", budget_used_up, FAILS | {TurnStatus.DELIVERED}, settings=BUDGET
    ),
    Scenario("waking", "the model wakes up", waking_model),
)  # fmt: skip
