"""What outlives a run: conversations, and messages whose answers were still on their way."""

from __future__ import annotations

import signal
from pathlib import Path

import openai
import pytest

from tests.e2e.conftest import start
from tests.waiting import until


def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = start(tmp_path)
    said = first.client().responses.create(input="What is Parley?")
    waiting = first.client().responses.create(input="Hello!", background=True)
    assert first.end(signal.SIGINT) == 0, "Ctrl-C ends it cleanly"
    second = start(tmp_path)
    try:
        client = second.client()
        assert client.responses.retrieve(said.id).output_text == said.output_text
        assert client.responses.create(input="Thanks!", previous_response_id=said.id).status == "completed"
        until(lambda: client.responses.retrieve(waiting.id).status == "completed", 60)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_unknown")
    finally:
        second.end()
