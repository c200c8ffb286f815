"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): what the document promises beyond what its checks know.

It stands in the place of schemathesis' own `positive_data_acceptance`, which takes every 400 for a fault: two rules
cannot be written in JSON Schema, and their errors have codes.
"""

from __future__ import annotations

from typing import Any

import schemathesis

from parley.openai_api.said import NO_USER_MESSAGE

BEYOND_SCHEMA = {NO_USER_MESSAGE, "previous_response_not_found", "response_not_finished"}


@schemathesis.check
def valid_requests_are_taken(ctx: Any, response: Any, case: Any) -> None:
    """A request that the schema allows is refused for a reason that no schema can say, or not at all."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    error = response.json()["error"]
    assert error["code"] in BEYOND_SCHEMA, f"the schema allows what the parser refuses: {error}"


@schemathesis.check
def refusals_are_clear(ctx: Any, response: Any, case: Any) -> None:
    """Every 4xx says in our shape what was wrong, and shows nothing of the code."""
    if 400 <= response.status_code < 500:
        error = response.json()["error"]
        assert error["message"], "an error without words"
        assert "Traceback" not in error["message"]
        assert len(response.content) < 2000, "an error carries its request back"
