"""Versions of a model and which one is in use: promote, roll back, list.

A version's files are sent first, then version.json, and at last in_use.json changes in one conditional write: whoever
dies before that has changed nothing that is used, and of two who promote at once the second looks again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from training.errors import Refused, StepFailed
from training.folders import FORMAT
from training.registry.card import card
from training.registry.description import CARD, Wish, describe, files_of, read_evaluation
from training.registry.gate import falls
from training.registry.places import Place

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TRIES = 10


class Registry:
    """One model's versions, at a place."""

    def __init__(self, place: Place, name: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        if not NAME.fullmatch(name):
            raise StepFailed(f"{name!r} is no name for a model; use lower-case letters, digits, hyphens and dots")
        self._place = place
        self._name = name
        self._clock = clock

    def in_use(self) -> tuple[dict[str, Any] | None, str | None]:
        """The content of in_use.json with its tag; (None, None) before the first promotion."""
        found = self._place.read(f"{self._name}/in_use.json")
        return (json.loads(found[0]), found[1]) if found else (None, None)

    def version(self, number: str) -> dict[str, Any]:
        """The content of version.json. Raises StepFailed where there is none."""
        found = self._place.read(f"{self._name}/versions/{number}/version.json")
        if found is None:
            raise StepFailed(f"there is no version {number} of {self._name} in {self._place.address}")
        content: dict[str, Any] = json.loads(found[0])
        return content

    def versions(self) -> list[dict[str, Any]]:
        """All finished versions, the oldest first."""
        keys = self._place.keys(f"{self._name}/versions/")
        return [self.version(key.split("/")[2]) for key in keys if key.endswith("/version.json")]

    def model_address(self, number: str) -> str:
        """Where a version's model folder is."""
        return self._place.where(f"{self._name}/versions/{number}/model/")

    def promote(self, wish: Wish, thresholds: Mapping[str, Mapping[str, float]], say: Callable[[str], None]) -> str:
        """The number of the version that is in use now. Promoting what is in use changes nothing.

        Raises Refused when a metric fell past its threshold, StepFailed for what is no model or no evaluation of it.
        """
        described = describe(wish)
        current, tag = self._checked(described, wish, thresholds)
        if current is not None and self.version(current["version"])["model_sha256"] == described["model_sha256"]:
            say(f"version {current['version']} has these weights and is in use already")
            return str(current["version"])
        number = self._send(described, wish, say)
        for _ in range(TRIES):
            if self._point(current, tag, number, "promote", wish.by):
                return number
            say("another version was promoted meanwhile; comparing with that one")
            current, tag = self._checked(described, wish, thresholds)
        raise StepFailed("others promote all the time; run it again")

    def roll_back(self, by: str, to: str | None = None) -> str:
        """The number of the version that is in use now: `to`, or the one that was before. Raises StepFailed."""
        for _ in range(TRIES):
            current, tag = self.in_use()
            before = earlier(current["history"] if current else [])
            if current is None or (to is None and not before):
                raise StepFailed(f"there is no earlier version of {self._name} to go back to")
            number = to or before[-1]
            self.version(number)
            if self._point(current, tag, number, "rollback", by):
                return number
        raise StepFailed("others change the version in use all the time; run it again")

    def _checked(
        self, described: Mapping[str, Any], wish: Wish, thresholds: Mapping[str, Mapping[str, float]]
    ) -> tuple[dict[str, Any] | None, str | None]:
        """What is in use. Raises Refused when the new version is worse than that."""
        current, tag = self.in_use()
        old = None
        if current is not None:
            used = self.version(current["version"])
            old, sets = used["metrics"], used["sets"]
            if wish.baseline is not None:
                baseline = read_evaluation(wish.baseline)
                if baseline["model"].get("sha256") not in (None, used["model_sha256"]):
                    raise StepFailed(
                        f"{wish.baseline} is an evaluation of another model than version {current['version']}"
                    )
                old, sets = baseline["metrics"], baseline.get("sets") or {}
            if changed := sorted(name for name, digest in sets.items() if described["sets"].get(name) != digest):
                raise Refused(
                    f"the set {changed[0]} is not the one that version {current['version']} was measured on; evaluate "
                    "that version again and give its folder with --baseline"
                )
        if against := falls(described["metrics"], old, thresholds):
            raise Refused("; ".join(against))
        return current, tag

    def _send(self, described: Mapping[str, Any], wish: Wish, say: Callable[[str], None]) -> str:
        """Send a version's files under a number of its own; the number."""
        number = self._claim()
        root = f"{self._name}/versions/{number}"
        version = {"version": number, "name": self._name, "created": self._now(), "by": wish.by, **described}
        words = (wish.model / CARD).read_text("utf-8") if (wish.model / CARD).is_file() else ""
        for folder, part in ((wish.model, "model"), (wish.evaluation, "evaluation")):
            for file in files_of(folder):
                inside = file.relative_to(folder).as_posix()
                if (part, inside) != ("model", CARD):
                    say(f"sending {part}/{inside} ({file.stat().st_size:,} bytes)")
                    self._place.send(f"{root}/{part}/{inside}", file)
        self._write_new(f"{root}/model/{CARD}", card(self._name, version, words).encode())
        self._write_new(f"{root}/version.json", _json(version))
        return number

    def _claim(self) -> str:
        """A number that nobody else has: one above the highest, claimed by a write that only one can make."""
        for _ in range(100):
            taken = {int(key.split("/")[2]) for key in self._place.keys(f"{self._name}/versions/")}
            number = f"{max(taken, default=0) + 1:04d}"
            claim = _json({"at": self._now()})
            if self._place.write(f"{self._name}/versions/{number}/claim.json", claim, None):
                return number
        raise StepFailed("others promote all the time; run it again")

    def _write_new(self, key: str, content: bytes) -> None:
        if not self._place.write(key, content, None):
            raise StepFailed(f"{self._place.where(key)} is there already; remove that unfinished version")

    def _point(self, current: Mapping[str, Any] | None, tag: str | None, number: str, action: str, by: str) -> bool:
        """The one write that changes what is used; False when somebody else wrote since it was read."""
        history = [*(current["history"] if current else []),
                   {"version": number, "at": self._now(), "action": action, "by": by}]  # fmt: skip
        content = _json({"format": FORMAT, "version": number, "history": history})
        return self._place.write(f"{self._name}/in_use.json", content, tag)

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def earlier(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The versions that were in use before the present one, as roll-backs left them, the last one last."""
    stack: list[str] = []
    for entry in history:
        if entry["action"] == "rollback" and entry["version"] in stack:
            del stack[stack.index(entry["version"]) :]
        stack.append(entry["version"])
    return stack[:-1]


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
