"""The model behind the endpoint, as a scenario wants it: it accepts what it is asked, and ends it when told to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.local.endpoint_jobs import Job
from scripts.local.endpoint_notifications import notification
from scripts.local.endpoint_requests import InferenceRequest

REGION = "us-east-1"


@dataclass(frozen=True)
class Outcome:
    """How a call ends: its status, and after how many seconds.

    `told`: a notification goes out; `inline`: with the result in it. `silent`: the call never ends.
    """

    status: int = 200
    seconds: float = 1.0
    told: bool = True
    inline: bool = True
    silent: bool = False


class Model:
    """`asked` holds every accepted request, oldest first: each is a call of its own, also under a name seen before."""

    def __init__(self, put: Callable[[str, bytes], str], get: Callable[[str], bytes], notify: Callable[[str], Any]):
        self.asked: list[InferenceRequest] = []
        self.instances = 1
        self.answers: Callable[[str], str] = lambda text: f"You said: {text}"
        """From what the user said last to what the model says."""
        self.outcomes: dict[str, Outcome] = {}
        """How calls end that do not end well, by the last part of their names: `{turn}-{step}-{attempt}`."""
        self._ended = 0
        self._put, self._get, self._notify = put, get, notify

    def end(self) -> bool:
        """End the oldest call that has not ended; False when there is none."""
        if self._ended == len(self.asked):
            return False
        request = self.asked[self._ended]
        self._ended += 1
        outcome = self.outcomes.get(request.inference_id.partition("-")[2], Outcome())
        if not outcome.silent:
            message = self._message(request, outcome)
            if outcome.told:
                self._notify(message if outcome.inline else _without_body(message))
        return True

    def forget(self) -> None:
        """Nothing was asked yet."""
        self.asked.clear()
        self._ended = 0

    def _message(self, request: InferenceRequest, outcome: Outcome) -> str:
        """The notification; what it tells lies in the bucket."""
        job = Job(self._ended, time.time() - outcome.seconds, 1, request)
        if outcome.status != 200:
            reason = f"ClientError: Received server error ({outcome.status}) from model."
            place = self._put(f"model/fail/{request.failure_name}", reason.encode())
            return notification(job, REGION, "Failed", failure_location=place, failure_reason=reason)
        content = self._complete(request.body or self._get(str(request.input_location)))
        place = self._put(f"model/out/{request.output_name}", content)
        return notification(
            job, REGION, "Completed", content=content, content_type="application/json", output_location=place
        )

    def _complete(self, payload: bytes) -> bytes:
        text = self.answers(json.loads(payload)["messages"][-1]["content"])
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()


def _without_body(message: str) -> str:
    return json.dumps({name: value for name, value in json.loads(message).items() if name != "responseBody"})
