"""The deployment's own conversations as sources for inference/training: those of users whose consent is on record."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.aws import items
from parley.aws.bots import StoredBots
from parley.aws.secrets import SsmSecrets
from parley.domain import prompt
from parley.domain.bot import Bot
from parley.domain.message import channel_of, conversation_key
from scripts.operations.place import Place
from scripts.training.consents import Consent, all_consents
from training.collect.entries import Entry
from training.records import Malformed, check_messages


@dataclass(frozen=True)
class UsersConversations:
    """What one user and the bot said, each conversation an entry: the model's prompt for its last turn, answer
    included. `found` are ids with the time of their last change."""

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
        """One entry a conversation, in the order of their hashes."""
        client = self.place.client("dynamodb")
        bots = StoredBots(SsmSecrets(self.place.client("ssm"), self.place.secrets_path, time.monotonic))
        for position, (id, _) in enumerate(sorted(self.found, key=lambda entry: conversation_key(entry[0]))):
            try:
                messages = said(client, self.place.table, id, bots)
                told = {"conversation": conversation_key(id), "consent": self.consent.stated()}
                yield Entry(position, "parley", {"messages": check_messages(messages), **told})
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


def said(client: Any, table: str, conversation: str, bots: StoredBots) -> list[dict[str, Any]]:
    """The messages as the model would get them for the last turn, up to the assistant's last word."""
    pages = client.get_paginator("query").paginate(
        TableName=table, KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": items.partition(conversation)}, ":prefix": {"S": "MSG#"}},
    )  # fmt: skip
    stored = [items.to_message(item) for page in pages for item in page["Items"]]
    state = client.get_item(TableName=table, Key=items.key(conversation, items.STATE)).get("Item")
    bot = bots.get(items.to_conversation(state).bot) if state else None
    answered = [message.turn for message in stored if message.role == "assistant"]
    if not answered:
        raise Malformed("not_answered", "nothing in it was answered")
    request = prompt.build(bot or Bot("", "", {}), stored, max(answered))
    messages: list[dict[str, Any]] = request["messages"]
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    return messages
