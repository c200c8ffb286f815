"""Reads JSON Lines and JSON: OpenAI messages, ShareGPT, ChatGPT's own export, prompt and answer pairs, preferences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.collect.entries import RAW_CHARACTERS, Entry, decode
from training.records import Malformed, check_messages, parse_line

USER = ("user", "question", "prompt", "instruction", "query", "input")
ASSISTANT = ("assistant", "answer", "completion", "response", "output", "reply")
SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "bard": "assistant", "bing": "assistant", "system": "system", "tool": "tool", "observation": "tool",
}  # fmt: skip
"""ShareGPT's names of the roles."""

KEPT = ("feedback", "consent", "licence", "language", "conversation")
"""What an entry may say of itself, beside what was said in it."""

Columns = Mapping[str, str]


def read_lines(path: Path, columns: Columns) -> Iterator[Entry]:
    """One entry for each line that is not blank."""
    with path.open("rb") as lines:
        for position, line in enumerate(lines):
            if position == 0:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            raw = line[:RAW_CHARACTERS].decode(errors="replace")
            try:
                value = parse_line(line)
            except Malformed as error:
                yield Entry(position, "jsonl", None, error, raw)
                continue
            yield from _entries(position, value, columns, raw)


def read_array(path: Path, columns: Columns) -> Iterator[Entry]:
    """One entry for each member of a JSON array, or one for a JSON object."""
    content = path.read_bytes()
    try:
        value = parse_line(decode(content))
    except Malformed as error:
        yield Entry(0, "json", None, error, content[:RAW_CHARACTERS].decode(errors="replace"))
        return
    for position, member in enumerate(value if isinstance(value, list) else [value]):
        raw = json.dumps(member, ensure_ascii=False)[:RAW_CHARACTERS]
        yield from _entries(position, member, columns, raw)


def _entries(position: int, value: Any, columns: Columns, raw: str) -> Iterator[Entry]:
    try:
        kind, found = interpret(value, columns)
    except Malformed as error:
        yield Entry(position, "jsonl", None, error, raw)
        return
    for fields in found:
        yield Entry(position, kind, fields)


def interpret(value: Any, columns: Columns) -> tuple[str, list[dict[str, Any]]]:
    """The shape of an entry, and the fields of its records: two of a preference, else one. Raises Malformed."""
    if not isinstance(value, Mapping):
        raise Malformed("not_object", f"an entry must be a JSON object; this is a {type(value).__name__}")
    kept = _kept(value)
    if tools := value.get("tools"):
        kept["tools"] = _tools(tools)
    if columns:
        return "jsonl", [pair(value, columns) | kept]
    if "chosen" in value and "rejected" in value:
        return "preference", [
            {"messages": _chosen(value, name), **kept, "feedback": feedback}
            for name, feedback in (("chosen", "up"), ("rejected", "down"))
        ]
    if "messages" in value:
        return "openai", [{"messages": check_messages(value["messages"]), **kept}]
    if "conversations" in value:
        return "sharegpt", [{"messages": check_messages(_sharegpt(value)), **kept}]
    if "mapping" in value:
        return "chatgpt", [{"messages": check_messages(_chatgpt(value)), **kept}]
    if isinstance(value.get("text"), str):
        return "jsonl", [{"text": value["text"], **kept}]
    return "jsonl", [pair(value, guess_columns(list(value))) | kept]


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry says of itself, checked."""
    kept = {name: value[name] for name in KEPT if value.get(name) is not None}
    if kept.get("feedback") not in (None, "up", "down"):
        raise Malformed("bad_feedback", "feedback must be up, down or null")
    if not isinstance(kept.get("licence", ""), str) or not isinstance(kept.get("consent", {}), Mapping):
        raise Malformed("bad_terms", "licence must be a text, and consent an object")
    if not isinstance(kept.get("conversation", ""), str | int):
        raise Malformed("bad_conversation", "conversation must be a text or a number")
    if not re.fullmatch("[a-z]{2,3}", str(kept.get("language", "en"))):
        del kept["language"]  # a language's name, which prepare finds out by itself
    return kept


def guess_columns(names: Sequence[str]) -> dict[str, str]:
    """Which of the names hold the user's and the assistant's words, or the text. Raises Malformed when none do."""
    lower = {name.strip().lower(): name for name in names}
    user = next((lower[name] for name in USER if name in lower), None)
    assistant = next((lower[name] for name in ASSISTANT if name in lower), None)
    if user and assistant:
        return {"user": user, "assistant": assistant} | ({"system": lower["system"]} if "system" in lower else {})
    if "text" in lower:
        return {"text": lower["text"]}
    raise Malformed(
        "unknown_columns",
        f"found {', '.join(names)[:200] or 'nothing'}; say --columns user=NAME,assistant=NAME, or --columns text=NAME",
    )


def pair(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The fields of a record whose parts stand under the names that `columns` gives. Raises Malformed."""
    values = {}
    for part, name in columns.items():
        value = row.get(name)
        if not isinstance(value, str) or (part != "system" and not value.strip()):
            raise Malformed("missing_value", f"{name} is empty or no text")
        values[part] = value
    told = {"conversation": values["conversation"]} if "conversation" in values else {}
    if "text" in values:
        return {"text": values["text"], **told}
    user = values["user"]
    if row.get("instruction") is not None and columns["user"] == "instruction" and str(row.get("input") or "").strip():
        user = f"{user}\n\n{row['input']}"  # Alpaca's instruction and what it is about
    head = [{"role": "system", "content": values["system"]}] if values.get("system", "").strip() else []
    said = [{"role": "user", "content": user}, {"role": "assistant", "content": values["assistant"]}]
    return {"messages": check_messages([*head, *said]), **told}


def _tools(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = parse_line(value)
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) and "function" in tool for tool in value):
        raise Malformed("bad_tools", "tools must be a list of OpenAI tool definitions")
    return value


def _chosen(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    prompt, answer = value.get("prompt"), value[name]
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(answer, str):
        answer = [{"role": "assistant", "content": answer}]
    if not isinstance(answer, list) or not isinstance(prompt, list | None):
        raise Malformed("bad_preference", "chosen and rejected must be texts or lists of messages")
    return check_messages([*(prompt or []), *answer])


def _sharegpt(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    turns = value["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise Malformed("no_messages", "conversations must be a list of turns")
    head = [{"role": "system", "content": value["system"]}] if value.get("system") else []
    said = []
    for number, turn in enumerate(turns):
        speaker = str(turn.get("from", turn.get("role")))
        if speaker.lower() not in SPEAKERS:
            raise Malformed("bad_role", f"turn {number} is from {speaker!r}")
        said.append({"role": SPEAKERS[speaker.lower()], "content": turn.get("value", turn.get("content"))})
    return [*head, *said]


def _chatgpt(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The branch that the export calls the current one, from its root on; hidden and empty messages left out."""
    nodes, at = value["mapping"], value.get("current_node")
    said: list[dict[str, Any]] = []
    seen: set[str] = set()
    try:
        while at is not None and at not in seen:
            seen.add(at)
            node = nodes[at]
            if message := node.get("message"):
                parts = (message.get("content") or {}).get("parts") or []
                text = "".join(part for part in parts if isinstance(part, str))
                role = (message.get("author") or {}).get("role")
                if text.strip() and role in ("user", "assistant"):
                    said.append({"role": role, "content": text})
            at = node.get("parent")
    except (LookupError, TypeError, AttributeError):
        raise Malformed("no_messages", "mapping is no tree of messages") from None
    return said[::-1]
