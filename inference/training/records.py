"""Records: one conversation or one piece of text, as README.md lays them out. Reads no format but its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.errors import StepFailed

Record = dict[str, Any]
ROLES = ("system", "user", "assistant", "tool")


class Malformed(Exception):
    """This entry is no record. `reason` is one word to count by, `detail` says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def record_id(uri: str, position: int, content: Mapping[str, Any]) -> str:
    """32 hex digits that stand for an entry of a source: two files of the same name differ by their content.

    Raises Malformed as `to_line` does.
    """
    return hashlib.sha256(f"{uri}\0{position}\0".encode(errors="surrogateescape") + to_line(content)).hexdigest()[:32]


def check_messages(value: Any) -> list[dict[str, Any]]:
    """OpenAI chat messages in their plain form: text as a string, arguments as a JSON string. Raises Malformed.

    An answer that is not to be learned keeps its `weight` of 0, as in OpenAI's format for fine-tuning.
    """
    if not isinstance(value, list) or not value:
        raise Malformed("no_messages", "messages must be a list with at least one message")
    messages = [_message(entry, number) for number, entry in enumerate(value)]
    roles = [message["role"] for message in messages]
    if "user" not in roles or "assistant" not in roles:
        raise Malformed("one_sided", f"a conversation needs a user and an assistant; this one has {', '.join(roles)}")
    if "system" in roles[1:]:
        raise Malformed("late_system", "a system message may only be the first one")
    return messages


def _message(entry: Any, number: int) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise Malformed("bad_message", f"message {number} is no object")
    role = {"developer": "system", "function": "tool"}.get(str(entry.get("role")), entry.get("role"))
    if role not in ROLES:
        raise Malformed("bad_role", f"message {number} has the role {entry.get('role')!r}")
    message: dict[str, Any] = {"role": role, "content": _text(entry.get("content"), number)}
    if calls := entry.get("tool_calls"):
        if role != "assistant" or not isinstance(calls, list):
            raise Malformed("bad_tool_call", f"message {number} of {role} has tool_calls")
        message["tool_calls"] = [_call(call, number) for call in calls]
    elif role == "assistant" and not message["content"].strip():
        raise Malformed("empty_answer", f"message {number} of the assistant is empty")
    if role == "assistant" and entry.get("weight") == 0:
        message["weight"] = 0
    return message | {name: str(entry[name]) for name in ("tool_call_id", "name") if entry.get(name)}


def _text(content: Any, number: int) -> str:
    """A message's text; parts are put one behind the other."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Malformed("bad_content", f"message {number} has content that is neither text nor parts")
    texts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise Malformed("not_text", f"message {number} has a part that is no text; pictures and sound are not learned")
    return "".join(str(text) for text in texts)


def _call(call: Any, number: int) -> dict[str, Any]:
    try:
        name, arguments = call["function"]["name"], call["function"].get("arguments") or "{}"
        parsed = json.loads(arguments, parse_constant=_refuse_constant) if isinstance(arguments, str) else arguments
        if not isinstance(parsed, Mapping) or not isinstance(name, str):
            raise TypeError
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        raise Malformed("bad_tool_call", f"message {number} has a tool call without a name or JSON arguments") from None
    function = {"name": name, "arguments": json.dumps(parsed, ensure_ascii=False)}
    return {"id": str(call.get("id") or ""), "type": "function", "function": function}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def weightless(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was said alone, without what is to be learned of it."""
    return [{name: value for name, value in message.items() if name != "weight"} for message in messages]


def parse_line(line: bytes | str) -> Any:
    """The JSON value of a line. Raises Malformed for what is no UTF-8 or no JSON (NaN is none)."""
    try:
        text = line if isinstance(line, str) else line.decode()
        return json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed("not_utf8", f"byte {error.start} is no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Malformed("not_json", str(error)[:200] or "nested too deep") from None


def to_line(value: Mapping[str, Any]) -> bytes:
    """One line of JSON Lines. Raises Malformed for text that has no UTF-8 (half a surrogate pair)."""
    try:
        return (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        raise Malformed("not_unicode", "half of a surrogate pair; the text was cut inside a character") from None
    except (ValueError, RecursionError) as error:
        raise Malformed("not_json", str(error)[:200]) from None


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file that a step wrote. Raises StepFailed for a line that is none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = parse_line(line)
            except Malformed as error:
                raise StepFailed(f"{path}:{number} is no record ({error}); make the folder again") from None
            if not isinstance(record, dict) or "id" not in record or not ("messages" in record or "text" in record):
                raise StepFailed(f"{path}:{number} is no record (id, and messages or text, are missing)")
            yield record


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """How many were written."""
    count = 0
    with path.open("wb") as opened:
        for record in records:
            opened.write(to_line(record))
            count += 1
    return count


def texts(record: Record, roles: Iterable[str] = ROLES) -> Iterator[str]:
    """What was said in a record by these roles, message by message; of a text, the text."""
    wanted = set(roles)
    if "text" in record:
        yield record["text"]
        return
    for message in record["messages"]:
        if message["role"] in wanted:
            if message["content"]:
                yield message["content"]
            for call in message.get("tool_calls") or ():
                yield call["function"]["arguments"]
