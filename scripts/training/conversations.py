"""The deployment's own conversations as sources for inference/training: those of users whose consent is on record."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.aws import items
from parley.aws.bots import StoredBots
from parley.aws.secrets import SsmSecrets
from parley.domain import prompt
from parley.domain.bot import Bot
from parley.domain.message import Message, channel_of, conversation_key
from scripts.operations.place import Place
from scripts.training.consents import Consent, all_consents
from training.collect.entries import Entry
from training.records import Malformed, check_messages


@dataclass(frozen=True)
class UsersConversations:
    """What one user and the bot said: of each conversation the model's prompt for its last turn, answer included, and
    the same for each answer before it that was rated. `found` are ids with the time of their last change."""

    place: Place
    consent: Consent
    found: Sequence[tuple[str, str]]
    kind: str = field(default="parley", init=False)

    @property
    def uri(self) -> str:
        """The stack, and a hash in the user's place."""
        return f"parley:{self.place.stack}/{hashlib.sha256(self.consent.user.encode()).hexdigest()[:32]}"

    @property
    def fingerprint(self) -> str:
        """Every conversation's last change, and the consent's time."""
        return f"{self.consent.given} {sorted(self.found)}"

    def entries(self, scratch: Path) -> Iterator[Entry]:
        """Conversation by conversation, in the order of their hashes."""
        client = self.place.client("dynamodb")
        bots = StoredBots(SsmSecrets(self.place.client("ssm"), self.place.secrets_path, time.monotonic))
        for position, (id, _) in enumerate(sorted(self.found, key=lambda entry: conversation_key(entry[0]))):
            try:
                told = {"conversation": conversation_key(id), "consent": self.consent.stated()}
                for messages, feedback in said(client, self.place.table, id, bots):
                    fields = {"messages": check_messages(messages), "feedback": feedback, **told}
                    yield Entry(position, "parley", fields)
            except Malformed as error:
                yield Entry(position, "parley", None, error, conversation_key(id))


def find_conversations(place: Place) -> tuple[list[UsersConversations], dict[str, int]]:
    """A source for each user with consent, and how many conversations are left out by reason.

    The index is read whole, at a few hundred bytes a conversation.
    """
    client = place.client("dynamodb")
    consents = {consent.user: consent for consent in all_consents(client, place.table)}
    left_out: Counter[str] = Counter()
    found: dict[str, list[tuple[str, str]]] = {}
    pages = client.get_paginator("scan").paginate(
        TableName=place.table, IndexName="user-conversations",
        ProjectionExpression="pk, #user, updated", ExpressionAttributeNames={"#user": "user"},
    )  # fmt: skip
    for entry in (entry for page in pages for entry in page["Items"]):
        id, user = entry["pk"]["S"].removeprefix("CONV#"), entry["user"]["S"]
        if not entry["pk"]["S"].startswith("CONV#"):
            continue
        if user not in consents:
            left_out["no_consent"] += 1
        elif not is_between_two(id, user):
            left_out["shared"] += 1
        else:
            found.setdefault(user, []).append((id, entry["updated"]["N"]))
    return [UsersConversations(place, consents[user], found[user]) for user in sorted(found)], dict(left_out)


def is_between_two(conversation: str, user: str) -> bool:
    """Whether nobody but `user` can have written in it: in a group, others have not consented.

    Slack's direct messages are channels whose id begins with D; Telegram's private chats have their user's id. Of a
    channel that is not known here the answer is no.
    """
    thread = conversation.split(":", 2)[-1]
    match channel_of(conversation):
        case "api" | "web":
            return True
        case "slack":
            return thread.startswith("D")
        case "telegram":
            return thread.split("/")[0] == user.partition(":")[2]
    return False


Part = tuple[list[dict[str, Any]], str | None]
"""Messages that end with an answer, and what somebody thought of that."""


def said(client: Any, table: str, conversation: str, bots: StoredBots) -> list[Part]:
    """What the model would get for the last turn, with its answer, and before that for each answer that was rated.

    An answer is learned in one part alone: in those that go on after it, one with a part of its own has the weight 0,
    and so one that nobody liked is learned nowhere.
    """
    pages = client.get_paginator("query").paginate(
        TableName=table, KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": items.partition(conversation)}, ":prefix": {"S": "MSG#"}},
    )  # fmt: skip
    stored = [items.to_message(item) for page in pages for item in page["Items"]]
    state = client.get_item(TableName=table, Key=items.key(conversation, items.STATE)).get("Item")
    bot = (bots.get(items.to_conversation(state).bot) if state else None) or Bot("", "", {})
    answers = sorted((m for m in stored if m.role == "assistant" and m.text), key=lambda answer: answer.turn)
    if not answers:
        raise Malformed("not_answered", "nothing in it was answered")
    *earlier, last = answers
    rated = [answer for answer in earlier if answer.feedback]
    parts = [_part(bot, stored, answer, None) for answer in rated]
    return [*parts, _part(bot, stored, last, {answer.text for answer in rated})]


def _part(bot: Bot, stored: Sequence[Message], last: Message, apart: Collection[str] | None) -> Part:
    """The messages up to an answer. Of those before it, the texts in `apart` have the weight 0; None: all of them."""
    messages: list[dict[str, Any]] = prompt.build(bot, stored, last.turn)["messages"]
    for message in messages[:-1]:
        if message["role"] == "assistant" and (apart is None or message["content"] in apart):
            message["weight"] = 0
    return messages, last.feedback
