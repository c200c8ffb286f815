"""DynamoDB transactions of moto that undo only what they touched.

moto copies the whole table before each transaction, so a table with thousands of items answers a few a
second (measured: 9 a second at 2,000 items). Here a transaction costs what its own items cost.
Knows nothing of HTTP or of where state is kept. Must run under the emulator's one lock.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

Key = dict[str, Any]


def install() -> None:
    """Replace moto's transaction in this process. Call once, before the first request."""
    moto_transaction = DynamoDBBackend.transact_write_items
    transaction_running = False

    def copy_table(table: Any, memo: dict[int, Any]) -> Any:
        if transaction_running:  # moto's own rollback then puts the very same table back, which changes nothing
            return table
        duplicate = Table.__new__(Table)
        memo[id(table)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(table.__dict__, memo))
        return duplicate

    def transact(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        nonlocal transaction_running
        before = [
            (name, key, copy.deepcopy(find_item(backend, name, key))) for name, key in touched(backend, transact_items)
        ]
        transaction_running = True
        try:
            moto_transaction(backend, transact_items)
        except Exception:
            for name, key, item in before:
                _put_back(backend.tables[name], key, item)
            raise
        finally:
            transaction_running = False

    replacements = [(Table, "__deepcopy__", copy_table), (DynamoDBBackend, "transact_write_items", transact)]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)


def touched(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> list[tuple[str, Key]]:
    """Return (table name, key) of every item of known tables that a TransactWriteItems request may write."""
    found: list[tuple[str, Key]] = []
    for entry in transact_items:
        for operation, arguments in entry.items():
            table = backend.tables.get(arguments.get("TableName", ""))
            if table is None or operation == "ConditionCheck":
                continue
            source = arguments.get("Item" if operation == "Put" else "Key") or {}
            if all(name in source for name in table.table_key_attrs):
                found.append((table.name, {name: source[name] for name in table.table_key_attrs}))
    return found


def find_item(backend: DynamoDBBackend, table_name: str, key: Key) -> Item | None:
    """Return moto's live item for ``key`` (DynamoDB JSON, key attributes only), or None."""
    table = backend.tables[table_name]
    hash_key = DynamoType(key[table.hash_key_attr])
    if table.range_key_attr is None:
        found = table.items.get(hash_key)
    else:
        found = table.items.get(hash_key, {}).get(DynamoType(key[table.range_key_attr]))
    return found  # type: ignore[return-value]


def _put_back(table: Table, key: Key, item: Item | None) -> None:
    hash_key = DynamoType(key[table.hash_key_attr])
    if table.range_key_attr is None:
        if item is None:
            table.items.pop(hash_key, None)
        else:
            table.items[hash_key] = item  # type: ignore[assignment]
        return
    range_key = DynamoType(key[table.range_key_attr])
    if item is None:
        table.items[hash_key].pop(range_key, None)
    else:
        table.items[hash_key][range_key] = item
