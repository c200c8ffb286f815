"""Bodies that a stranger may send: bytes, any JSON, JSON nested as deep as a parser goes and deeper."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from tests.channels.hostile_json import ANYTHING, damaged

LIMIT = sys.getrecursionlimit()
DEPTHS = st.integers(1, 3 * LIMIT) | st.integers(LIMIT // 2, LIMIT)
CHARACTERS = st.sampled_from(["\x00", "\x01", "\x7f", "\x85", "\ud83d", "\ufffe", "\uffff", "\u202e", "𝒳", "你"])
TEXTS = st.text(max_size=30) | st.lists(CHARACTERS | st.text(max_size=3), max_size=8).map("".join)
BYTES = st.binary(max_size=60) | st.sampled_from(
    [
        b"",
        b"null",
        b"{",
        b'{"a":' * 20,
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a":' + b"9" * 5000 + b"}",
        b"1e999",
    ]
)


_PLACE = "<here>"


@st.composite
def grown(draw: st.DrawFn, document: Mapping[str, Any]) -> bytes:
    """A document that somewhere holds a very long text, or a list in a list in a list.

    As text, because json.dumps would not write all of them.
    """
    opened, closed = draw(st.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"type":', "}]"), ("", "")]))
    depth = draw(DEPTHS)
    inside = opened * depth + "1" + closed * depth if opened else f'"{"y" * 10 * depth}"'
    places = list(_with_a_place(document))
    return json.dumps(draw(st.sampled_from(places))).replace(f'"{_PLACE}"', inside).encode()


def _with_a_place(value: Any) -> Iterator[Any]:
    """The value once for each of its members at any depth, with the place in that one's stead."""
    yield _PLACE
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        for replaced in _with_a_place(member):
            copy: Any = dict(value) if isinstance(value, dict) else list(value)
            copy[name] = replaced
            yield copy


def hostile(document: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Bytes that resemble a good document more or less."""
    near = damaged(document) | ANYTHING
    return near.map(json.dumps).map(str.encode) | grown(document) | BYTES
