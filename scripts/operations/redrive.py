"""List, show and replay dead letters: what the stages could not do, and what channels would not take.

A letter that is replayed goes back to its queue and then leaves the dead-letter queue. Stages recognise what they did
before, so a letter that is replayed twice does nothing twice. Message text is shown by `show` only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from parley.aws.table import Table
from parley.domain.turn import FailedTurn
from parley.envelopes import read_failed
from parley.errors import UnreadableRecord
from parley.ports import Conversations
from scripts.deployment.arguments import add_deployment, explain, say
from scripts.operations.failed_turns import ask_anew
from scripts.operations.place import QUEUES, Place, Queue, lengths, open_place

PROGRAM = "redrive"
HIDDEN_SECONDS = 120
"""How long a letter that is looked at stays hidden from others; it is shown again at once when the look is over."""

OWED_SECONDS = 900.0
"""How long the channel has to take a replayed answer before the sweep looks after it."""


@dataclass(frozen=True)
class Letter:
    """One dead letter, received and not yet given back."""

    queue: Queue
    id: str
    receipt: str
    body: str
    group: str
    reason: str
    sent: float
    receives: int

    def describe(self, whole: bool) -> dict[str, Any]:
        """What a person wants to know of it; `whole` with its record."""
        fields = self.record()
        told = {
            "id": self.id, "queue": self.queue.name, "reason": self.reason, "receives": self.receives,
            "age_seconds": round(max(0.0, time.time() - self.sent)), "kind": fields.get("kind", "result"),
            "conversation": fields.get("conversation"), "turn": fields.get("turn"), "trace": fields.get("trace"),
        }  # fmt: skip
        return told | ({"record": fields or self.body} if whole else {})

    def failed_turn(self) -> FailedTurn | None:
        """The turn whose failure it tells of; None for any other record."""
        try:
            return read_failed(self.body)
        except UnreadableRecord:
            return None

    def record(self) -> dict[str, Any]:
        """The record's fields; empty when it is no JSON object."""
        try:
            fields = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when there was no such letter; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        place = open_place(options)
        client = place.client("sqs")
        queues = [queue for queue in place.queues if options.queue in (None, queue.name)]
        letters: list[Letter] = []
        try:
            for queue in queues:
                letters += receive_all(client, queue)
            outcome.status = {"list": _list, "show": _show, "replay": _replay}[options.command](place, letters, options)
        finally:
            give_back(client, letters)
    return outcome.status


def receive_all(client: Any, queue: Queue) -> Iterator[Letter]:
    """Every letter of a dead-letter queue, each once; of one conversation the first ten, which hide the rest.

    A look that does not wait asks some of SQS's servers only: where it sees nothing, one that waits comes after it,
    unless there is nothing left.
    """
    seen: set[str] = set()
    wait = 0
    while True:
        found = client.receive_message(
            QueueUrl=queue.dead_letters_url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_SECONDS,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"], WaitTimeSeconds=wait,
        ).get("Messages", [])  # fmt: skip
        fresh = [message for message in found if message["MessageId"] not in seen]
        if not fresh and (wait or not lengths(client, queue.dead_letters_url)[0]):
            return
        wait = 0 if fresh else 1
        for message in fresh:
            seen.add(message["MessageId"])
            attributes = message.get("Attributes", {})
            reason = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
            yield Letter(
                queue, message["MessageId"], message["ReceiptHandle"], message["Body"],
                attributes.get("MessageGroupId", ""), reason or "failed every time it was tried",
                float(attributes.get("SentTimestamp", 0)) / 1000, int(attributes.get("ApproximateReceiveCount", 1)),
            )  # fmt: skip


class Turns(Conversations, Protocol):
    """The table, as far as its owner's commands need more than the stages do."""

    def reopen(self, conversation: str, number: int, deadline: float) -> bool:
        """Owe once more what the channel would not take, until `deadline`; False when the turn ended otherwise."""


def replay(letter: Letter, table: Turns, client: Any) -> bool:
    """Send a letter back to its queue, then take it out of the dead-letter queue. Between the two it is in both.

    `client` is SQS's. False when a turn that failed has nothing left to ask.
    """
    turn = letter.failed_turn()
    sent = ask_anew(turn, table, client, letter.queue.url) if turn is not None else _send_back(letter, table, client)
    client.delete_message(QueueUrl=letter.queue.dead_letters_url, ReceiptHandle=letter.receipt)
    return sent


def _send_back(letter: Letter, table: Turns, client: Any) -> bool:
    """Send the same record; what a channel would not take had ended its turn, which owes its answer again from now."""
    order: dict[str, Any] = {}
    if letter.queue.fifo:
        # a name of its own for each replay: the queue may still remember the first one's
        order = {"MessageGroupId": letter.group, "MessageDeduplicationId": f"replay-{letter.id}-{letter.receives}"}
    if letter.queue.name == "outbox":
        conversation, turn = (letter.record().get(name) for name in ("conversation", "turn"))
        if isinstance(conversation, str) and type(turn) is int:  # what is neither is nobody's answer
            table.reopen(conversation, turn, time.time() + OWED_SECONDS)
    client.send_message(QueueUrl=letter.queue.url, MessageBody=letter.body, **order)
    return True


def give_back(client: Any, letters: Sequence[Letter]) -> None:
    """Let others see the letters again."""
    for letter in letters:
        client.change_message_visibility(
            QueueUrl=letter.queue.dead_letters_url, ReceiptHandle=letter.receipt, VisibilityTimeout=0
        )


def _list(place: Place, letters: list[Letter], options: argparse.Namespace) -> int:
    described = [letter.describe(whole=False) for letter in letters]
    if options.json:
        print(json.dumps(described))
        return 0
    for entry in described:
        print(f"{entry['id']}  {entry['queue']:<8} {_age(entry['age_seconds']):>8}  {entry['kind']}: {entry['reason']}")
    say(PROGRAM, f"{len(described)} dead letters" if described else "no dead letters")
    return 0


def _show(place: Place, letters: list[Letter], options: argparse.Namespace) -> int:
    for letter in letters:
        if letter.id == options.id:
            print(json.dumps(letter.describe(whole=True), ensure_ascii=False, indent=None if options.json else 2))
            return 0
    return _unknown(options.id)


def _replay(place: Place, letters: list[Letter], options: argparse.Namespace) -> int:
    chosen = list(letters) if options.all else [letter for letter in letters if letter.id == options.id]
    if not chosen and not options.all:
        return _unknown(options.id)
    client, table = place.client("sqs"), Table(place.client("dynamodb"), place.table, time.time)
    for number, letter in enumerate(chosen, 1):
        sent = replay(letter, table, client)
        letters.remove(letter)
        went = f"to the {letter.queue.name}" if sent else "had nothing left to ask, and is gone"
        say(PROGRAM, f"replayed {number} of {len(chosen)}: {letter.id} {went}")
    replayed = [letter.id for letter in chosen]
    print(json.dumps({"replayed": replayed}) if options.json else f"{len(replayed)} replayed")
    return 0


def _unknown(id: str) -> int:
    say(PROGRAM, f"there is no dead letter {id} to be seen now; scripts/redrive list shows them")
    return 1


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/redrive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all dead letters, without their text")
    commands.add_parser("show", help="one of them, whole").add_argument("id")
    again = commands.add_parser("replay", help="send them back to their queues").add_mutually_exclusive_group(
        required=True
    )
    again.add_argument("id", nargs="?")
    again.add_argument("--all", action="store_true", help="every one")
    for command in commands.choices.values():
        add_deployment(command)
        command.add_argument("--queue", choices=list(QUEUES), help="of this queue only")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
