"""The async endpoint's queue: accepted requests in one SQLite file, first in first out.

What was accepted is there after kill -9; what was running then runs again (AWS promises no more).
Knows nothing of HTTP, S3 or the model.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.local.endpoint_requests import InferenceRequest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received REAL, attempts INTEGER, running INTEGER, request TEXT, body BLOB)
"""


@dataclass(frozen=True)
class Job:
    """One accepted request: its number, when it came (epoch seconds), how often it was handed to a worker."""

    id: int
    received: float
    attempts: int
    request: InferenceRequest

    @property
    def expired(self) -> bool:
        """Whether it waited longer than its RequestTTLSeconds."""
        return time.time() > self.received + self.request.ttl_seconds


class JobQueue:
    """Thread-safe; ``take()`` waits. A taken job stays in the file until ``finish()``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(_SCHEMA)
        self._database.execute("UPDATE jobs SET running = 0")
        self._changed = threading.Condition()

    def put(self, request: InferenceRequest) -> int:
        """Accept a request, durably; returns its number."""
        fields = asdict(request)
        body = fields.pop("body")
        with self._changed:
            cursor = self._database.execute(
                "INSERT INTO jobs (received, attempts, running, request, body) VALUES (?, 0, 0, ?, ?)",
                (time.time(), json.dumps(fields), body),
            )
            self._changed.notify()
            return int(cursor.lastrowid or 0)

    def take(self, seconds: float) -> Job | None:
        """Return the oldest waiting job, marked as running, or None when none came within ``seconds``."""
        with self._changed:
            row = self._oldest()
            if row is None:
                self._changed.wait(seconds)
                row = self._oldest()
            if row is None:
                return None
            number, received, attempts, text, body = row
            self._database.execute("UPDATE jobs SET running = 1, attempts = attempts + 1 WHERE id = ?", (number,))
            return Job(number, received, attempts + 1, InferenceRequest(body=body, **json.loads(text)))

    def put_back(self, job: Job, counted: bool) -> None:
        """Let the job wait again at its old place; ``counted`` says whether this was an attempt."""
        with self._changed:
            attempts = job.attempts if counted else job.attempts - 1
            self._database.execute("UPDATE jobs SET running = 0, attempts = ? WHERE id = ?", (attempts, job.id))
            self._changed.notify()

    def take_expired(self) -> list[Job]:
        """Return, marked as running, the waiting jobs whose time to live has passed."""
        with self._changed:
            rows = self._database.execute(
                "SELECT id, received, attempts, request, body FROM jobs WHERE running = 0 "
                "AND received + json_extract(request, '$.ttl_seconds') < ?",
                (time.time(),),
            ).fetchall()
            self._database.executemany("UPDATE jobs SET running = 1 WHERE id = ?", [(row[0],) for row in rows])
        return [
            Job(number, received, attempts, InferenceRequest(body=body, **json.loads(text)))
            for number, received, attempts, text, body in rows
        ]

    def finish(self, job: Job) -> None:
        """Forget a job whose outcome is published."""
        with self._changed:
            self._database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    def waiting(self) -> int:
        """Return how many jobs wait."""
        with self._changed:
            return int(self._database.execute("SELECT count(*) FROM jobs WHERE running = 0").fetchone()[0])

    def _oldest(self) -> tuple[int, float, int, str, bytes | None] | None:
        row: tuple[int, float, int, str, bytes | None] | None = self._database.execute(
            "SELECT id, received, attempts, request, body FROM jobs WHERE running = 0 ORDER BY id LIMIT 1"
        ).fetchone()
        return row
