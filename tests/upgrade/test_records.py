"""While a stack is updated, old and new functions run side by side: what either may find in a queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parley.domain.message import Cancel, Incoming, Said
from parley.domain.turn import FailedTurn, Outgoing
from parley.envelopes import (
    VERSION,
    read_failed,
    read_inbox,
    read_outbox,
    write_failed,
    write_inbox,
    write_outbox,
)
from parley.errors import UnreadableRecord

MESSAGE = Incoming("e", "slack:T1:C1", "default", "slack:U1", "hi", 1.0, "t", preface=(Said("user", "before"),))
RECORDS = [
    (MESSAGE, write_inbox, read_inbox),
    (Cancel("c", "web:v:1", "t", turn=1), write_inbox, read_inbox),
    (Outgoing("slack:T1:C1", 1, "default", "hi", "t"), write_outbox, read_outbox),
    (FailedTurn("slack:T1:C1", 1, 1, "t"), write_failed, read_failed),
]


@pytest.mark.parametrize(("value", "write", "read"), RECORDS, ids=["message", "cancel", "outgoing", "failed"])
def test_a_field_of_a_later_release_is_left_out(value: Any, write: Any, read: Any) -> None:
    fields = json.loads(write(value))
    fields["of a later release"] = {"any": "thing"}
    for entry in fields.get("preface", ()):
        entry["of a later release"] = 1
    assert read(json.dumps(fields)) == value


@pytest.mark.parametrize(("value", "write", "read"), RECORDS, ids=["message", "cancel", "outgoing", "failed"])
def test_another_version_is_left_to_who_knows_it(value: Any, write: Any, read: Any) -> None:
    fields = {**json.loads(write(value)), "v": VERSION + 1}
    with pytest.raises(UnreadableRecord):
        read(json.dumps(fields))


@pytest.mark.parametrize("preface", [None, "text", [1], [["user", "text"]], [{"role": "user"}], {"role": "user"}])
def test_a_preface_that_is_none_is_refused(preface: object) -> None:
    fields = {**json.loads(write_inbox(MESSAGE)), "preface": preface}
    with pytest.raises(UnreadableRecord):
        read_inbox(json.dumps(fields))
