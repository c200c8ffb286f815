"""Says which split a conversation belongs to: by a hash, so that it stays there however the data grows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from training.errors import StepFailed

SPLITS = ("train", "validation", "test")


def place(conversation: str, seed: int) -> float:
    """A number from 0 to 1 that looks random and is always the same for a conversation."""
    digest = hashlib.sha256(f"{seed}\0{conversation}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split(conversations: Iterable[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each conversation. `shares` are those of validation and test; what is left is for training.

    With few conversations chance may leave a split empty: it gets the one whose place is nearest. Raises StepFailed
    when there are fewer conversations than splits.
    """
    places = {conversation: place(conversation, seed) for conversation in conversations}
    wanted = [name for name in SPLITS if name == "train" or shares[name] > 0]
    if len(places) < len(wanted):
        raise StepFailed(
            f"{len(places)} conversations are left, too few for {', '.join(wanted)}; collect more, loosen the filters, "
            "or give --validation 0 --test 0"
        )
    test, validation = shares["test"], shares["test"] + shares["validation"]
    result = {c: "test" if at < test else "validation" if at < validation else "train" for c, at in places.items()}
    for name in wanted:
        if name not in result.values():
            sizes = {other: list(result.values()).count(other) for other in SPLITS}
            able = [c for c in places if sizes[result[c]] > 1]
            result[max(able, key=places.__getitem__) if name == "train" else min(able, key=places.__getitem__)] = name
    return result
