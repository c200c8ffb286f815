"""Asks an OpenAI-compatible server: one item, one greedy answer. Knows no metrics."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from training.errors import StepFailed

ATTEMPTS = 4
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


class Client:
    """A server's chat completions. `wait` is what passes the time between attempts."""

    def __init__(
        self, url: str, key: str, model: str, timeout: float = 120, wait: Callable[[float], None] = time.sleep
    ) -> None:
        base = url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self._key, self._model, self._timeout, self._wait = key, model, timeout, wait
        self._logprobs = True

    def answer(self, item: Mapping[str, Any], most_tokens: int = 160) -> dict[str, Any]:
        """`text`, `calls` ({"name", "arguments"}), `tokens`, `seconds`, `mean_logprob` if the server gives it."""
        body: dict[str, Any] = {
            "model": self._model, "messages": item["messages"], "temperature": 0, "max_tokens": most_tokens,
        }  # fmt: skip
        if item.get("tools"):
            body["tools"] = item["tools"]
        begun = time.monotonic()
        completion = self._post({**body, "logprobs": True} if self._logprobs else body)
        if completion is None:  # many servers have no logprobs, or not beside tools
            self._logprobs = False
            begun = time.monotonic()
            completion = self._post(body)
        return _read(completion, time.monotonic() - begun)

    def _post(self, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            self._url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                detail = error.read(2000).decode(errors="replace")
                if error.code == 400 and "logprobs" in body:
                    return None
                if error.code not in BUSY or attempt == ATTEMPTS:
                    raise StepFailed(f"{self._url} answered {error.code}: {' '.join(detail.split())[:200]}") from None
            except (OSError, ValueError) as error:
                if attempt == ATTEMPTS:
                    raise StepFailed(f"{self._url} cannot be asked: {error}") from None
            self._wait(0.5 * 2**attempt)
        raise AssertionError  # the last attempt returns or raises


def _read(completion: Any, seconds: float) -> dict[str, Any]:
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        calls = [
            {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in message.get("tool_calls") or ()
        ]
        tokens = int((completion.get("usage") or {}).get("completion_tokens") or 0)
        entries = (choice.get("logprobs") or {}).get("content") or []
    except (LookupError, TypeError, AttributeError) as error:
        raise StepFailed(f"the server's answer is no chat completion ({error!r} is missing)") from None
    logprobs = [entry["logprob"] for entry in entries]
    return {
        "text": message.get("content") or "", "calls": calls, "tokens": tokens, "seconds": seconds,
        "mean_logprob": sum(logprobs) / len(logprobs) if logprobs else None,
    }  # fmt: skip
