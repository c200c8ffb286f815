"""What the emulated cloud holds, kept in one SQLite file: items, objects and messages.

Written through: the middleware flushes after each request and before its answer leaves, so what was
acknowledged survives kill -9 (a power cut may lose the last commits, never the file's consistency).
A resource gets back what it held when it is created again; definitions themselves are never stored.
Knows moto's stores; knows nothing of HTTP. Every method must be called under the emulator's one lock.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.s3.models import S3Backend, s3_backends
from moto.sqs.models import Message, Queue, sqs_backends

from scripts.local import moto_tables
from scripts.local.moto_queues import DEDUPLICATION_SECONDS, QueueSemantics

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (home TEXT, key TEXT, body TEXT, PRIMARY KEY (home, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (bucket TEXT, key TEXT, about TEXT, body BLOB, PRIMARY KEY (bucket, key));
CREATE TABLE IF NOT EXISTS messages (
    position INTEGER PRIMARY KEY AUTOINCREMENT, home TEXT, id TEXT, body TEXT, UNIQUE (home, id));
CREATE TABLE IF NOT EXISTS deduplications (
    home TEXT, key TEXT, until REAL, message TEXT, sequence TEXT, PRIMARY KEY (home, key)) WITHOUT ROWID;
"""
_MESSAGE_FIELDS = (
    "body",
    "message_attributes",
    "sender_id",
    "sent_timestamp",
    "approximate_first_receive_timestamp",
    "approximate_receive_count",
    "deduplication_id",
    "group_id",
    "sequence_number",
    "delayed_until",
    "system_attributes",
)


class DurableState:
    """The SQLite file behind the emulator; ``flush()`` makes what was reported since the last one durable."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._database.execute("DELETE FROM deduplications WHERE until < ?", (time.time(),))
        self._dirty_items: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._dirty_objects: set[tuple[str, str]] = set()
        self._changes: list[tuple[str, tuple[Any, ...]]] = []

    # -- reported by the middleware ------------------------------------------------------------------------

    def item_written(self, region: str, table_name: str, key: dict[str, Any]) -> None:
        """The item under ``key`` (DynamoDB JSON of the key attributes) may have changed."""
        self._dirty_items[region, table_name, json.dumps(key, sort_keys=True)] = key

    def object_written(self, bucket: str, key: str) -> None:
        """The object may have changed or gone."""
        self._dirty_objects.add((bucket, key))

    # -- reported by the queues (QueueObserver) ------------------------------------------------------------

    def message_changed(self, queue: Queue, message: Message) -> None:
        """Keep the message's current fields."""
        fields = {name: getattr(message, name) for name in _MESSAGE_FIELDS}
        self._changes.append(
            (
                "INSERT INTO messages (home, id, body) VALUES (?, ?, ?) "
                "ON CONFLICT (home, id) DO UPDATE SET body = excluded.body",
                (_home(queue), message.id, json.dumps(fields, default=_encode_bytes)),
            )
        )

    def message_removed(self, queue: Queue, message: Message) -> None:
        """Forget the message."""
        self._changes.append(("DELETE FROM messages WHERE home = ? AND id = ?", (_home(queue), message.id)))

    def deduplication_remembered(self, queue: Queue, key: str, message: Message) -> None:
        """Keep a FIFO deduplication id for as long as it counts."""
        row = (_home(queue), key, time.time() + DEDUPLICATION_SECONDS, message.id, message.sequence_number)
        self._changes.append(("INSERT OR REPLACE INTO deduplications VALUES (?, ?, ?, ?, ?)", row))

    # -- to and from the file ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write all reported changes in one transaction. Raises sqlite3.Error when the disk refuses."""
        if not (self._changes or self._dirty_items or self._dirty_objects):
            return
        statements = list(self._changes)
        statements += [self._item_statement(*where, key) for where, key in self._dirty_items.items()]
        statements += [self._object_statement(*where) for where in self._dirty_objects]
        self._database.execute("BEGIN")
        try:
            for statement, values in statements:
                self._database.execute(statement, values)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        # only now: what a full disk refused is tried again with the next request
        self._changes, self._dirty_items, self._dirty_objects = [], {}, set()

    def close(self) -> None:
        """Flush and close; the write-ahead log is folded into the file."""
        self.flush()
        self._database.close()

    def _item_statement(
        self, region: str, table_name: str, text: str, key: dict[str, Any]
    ) -> tuple[str, tuple[Any, ...]]:
        home = f"{region}/{table_name}"
        item = moto_tables.find_item(_tables(region), table_name, key)
        if item is None:
            return "DELETE FROM items WHERE home = ? AND key = ?", (home, text)
        body = json.dumps(item.to_json()["Attributes"], default=_encode_bytes)
        return "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (home, text, body)

    def _object_statement(self, bucket: str, key: str) -> tuple[str, tuple[Any, ...]]:
        holder = _buckets().buckets.get(bucket)
        found = holder.keys.get(key) if holder else None
        if found is None or not hasattr(found, "value"):  # a delete marker has no value
            return "DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
        about = {
            "etag": found.etag.strip('"'),
            "metadata": dict(found.metadata),
            "modified": found.last_modified.isoformat(),
        }
        return "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (
            bucket,
            key,
            json.dumps(about),
            found.value,
        )

    def restore_table(self, region: str, table_name: str) -> int:
        """Put back the items that a table of this name held; returns how many."""
        table = _tables(region).tables[table_name]
        rows = self._database.execute("SELECT body FROM items WHERE home = ?", (f"{region}/{table_name}",)).fetchall()
        for (body,) in rows:
            table.put_item(json.loads(body, object_hook=_decode_bytes))
        return len(rows)

    def drop_expired(self, region: str, table_name: str) -> int:
        """Delete the items whose TTL has passed (AWS does within days, moto never); returns how many."""
        backend = _tables(region)
        table = backend.tables[table_name]
        attribute = table.ttl.get("AttributeName")
        if table.ttl.get("TimeToLiveStatus") != "ENABLED" or attribute is None:
            return 0
        now = time.time()
        expired = [item for item in table.all_items() if _is_past(item.attrs.get(attribute), now)]
        for item in expired:
            key = {name: item.attrs[name].to_json() for name in table.table_key_attrs}
            table.delete_item(item.hash_key, item.range_key)
            self.item_written(region, table_name, key)
        return len(expired)

    def restore_bucket(self, bucket: str) -> int:
        """Put back the objects that a bucket of this name held; returns how many."""
        rows = self._database.execute("SELECT key, about, body FROM objects WHERE bucket = ?", (bucket,)).fetchall()
        for key, text, body in rows:
            about = json.loads(text)
            stored = _buckets().put_object(bucket, key, body, etag=about["etag"], disable_notification=True)
            stored.set_metadata(about["metadata"])
            stored.last_modified = datetime.fromisoformat(about["modified"])
        return len(rows)

    def restore_queue(self, region: str, queue_name: str, semantics: QueueSemantics) -> int:
        """Put back a queue's messages, in order, and its deduplication ids; returns how many messages."""
        queue = sqs_backends[DEFAULT_ACCOUNT_ID][region].get_queue(queue_name)
        home = _home(queue)
        rows = self._database.execute(
            "SELECT id, body FROM messages WHERE home = ? ORDER BY position", (home,)
        ).fetchall()
        for message_id, body in rows:
            fields = json.loads(body, object_hook=_decode_bytes)
            message = Message(message_id, fields["body"])
            for name, value in fields.items():
                setattr(message, name, value)
            semantics.restore(queue, message)
        remembered = self._database.execute(
            "SELECT key, until, message, sequence FROM deduplications WHERE home = ?", (home,)
        ).fetchall()
        for row in remembered:
            semantics.restore_deduplication(queue, *row)
        return len(rows)

    def forget_table(self, region: str, table_name: str) -> None:
        """The table was deleted, and its items with it."""
        self._changes.append(("DELETE FROM items WHERE home = ?", (f"{region}/{table_name}",)))

    def forget_queue(self, region: str, queue_name: str) -> None:
        """The queue was deleted, and its messages with it."""
        home = f"{region}/{queue_name}"
        self._changes.append(("DELETE FROM messages WHERE home = ?", (home,)))
        self._changes.append(("DELETE FROM deduplications WHERE home = ?", (home,)))


def _home(queue: Queue) -> str:
    return f"{queue.region}/{queue.name}"


def _tables(region: str) -> DynamoDBBackend:
    return dynamodb_backends[DEFAULT_ACCOUNT_ID][region]


def _buckets() -> S3Backend:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def table_of(region: str, table_name: str) -> Table | None:
    """Return moto's live table, or None when there is none of that name."""
    return _tables(region).tables.get(table_name)


def _is_past(value: Any, now: float) -> bool:
    try:
        return value is not None and float(value.value) < now
    except (TypeError, ValueError):
        return False  # AWS ignores a TTL attribute that is no number


def _encode_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"cannot keep a {type(value).__name__} of the emulated cloud; teach durable_state.py its form")


def _decode_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if set(value) == {"$bytes"} else value
