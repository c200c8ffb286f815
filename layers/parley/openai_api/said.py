"""Who said what, as both endpoints write it: roles, and the user's text at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley.domain.message import MAX_TEXT_CHARACTERS, Said
from parley.errors import BadRequest
from parley.openai_api import fields

NO_USER_MESSAGE = "no_user_message"
"""The error's code where nobody is to be answered."""

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def split(said: Sequence[Said], param: str) -> tuple[Sequence[Said], str]:
    """What was said before, and the user's text at the end. Raises BadRequest when it does not end with one."""
    if not said or said[-1].role != "user" or not said[-1].text.strip():
        message = f"'{param}' must end with a message of role 'user' that has text."
        raise BadRequest(message, param=param, code=NO_USER_MESSAGE)
    if len(said[-1].text) > MAX_TEXT_CHARACTERS:
        message = f"The last message has {len(said[-1].text):,} characters: at most {MAX_TEXT_CHARACTERS:,} are taken."
        raise BadRequest(message, param=param, code="string_above_max_length")
    return said[:-1], said[-1].text


def role(value: Any, param: str) -> str:
    """One of our roles for one of OpenAI's. Raises BadRequest."""
    if not isinstance(value, str) or value not in ROLES:
        known = ", ".join(repr(name) for name in ROLES)
        message = f"'{param}' is {fields.quoted(value)}: this deployment takes {known}."
        raise BadRequest(message, param=param, code="invalid_value")
    return ROLES[value]
