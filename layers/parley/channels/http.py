"""Posts JSON to a platform's API and sorts out what only needs patience. Knows no platform's own error words.

An address may hold a token (Telegram's does): it is never logged and stands in no error's text. urllib3 is imported
with the first post, so that a Lambda that only receives does not pay for it.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parley.errors import ChannelBusy, ChannelRefused

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
"""When to come back to a platform that does not say."""
LARGEST_ANSWER = 1_000_000
"""Bytes of an answer that are read; the platforms' own are a few thousand."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """A platform's answer: `document` is its JSON object, empty when it sent something else."""

    status: int
    document: Mapping[str, Any]
    retry_after: float
    """Seconds until a next try, as the answer says or else `PATIENCE_SECONDS`."""


class JsonPoster:
    """Posts JSON over kept-alive connections; one for all channels of a process, safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._pool: PoolManager | None = None

    def post(self, api: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> ApiAnswer:
        """The answer of one POST, tried once; `api` names the call in errors, for instance `Slack chat.postMessage`.

        Raises ChannelBusy where there was no answer, a 429, a 5xx or a 2xx without a JSON object (such an answer comes
        from something in between), and ChannelRefused where no request can be made of the settings.
        """
        if not url.startswith(("https://", "http://")):
            raise ChannelRefused(f"{api}: api_url does not begin with https:// or http://; correct it")
        sent = json.dumps(body).encode("ascii")  # ASCII: half a surrogate pair must not stop the request
        status, raw, answer_headers = self._exchange(api, url, sent, headers or {})
        document = _object(raw)
        answer = ApiAnswer(status, document or {}, self._retry_after(answer_headers, document or {}))
        if status == 429 or status >= 500:
            raise ChannelBusy(f"{api}: status {status}", answer.retry_after)
        if 200 <= status < 300 and document is None:
            raise ChannelBusy(f"{api}: status {status} without a JSON object", answer.retry_after)
        return answer

    def _exchange(
        self, api: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of the answer."""
        from urllib3.exceptions import HTTPError, LocationValueError

        busy = refused = ""
        try:
            response = self._connections().request(
                "POST",
                url,
                body=body,
                headers={"Content-Type": "application/json; charset=utf-8", **headers},
                preload_content=False,
                redirect=False,  # a redirect would carry the token elsewhere
                retries=False,  # the outbox retries: only it knows whether the message is still wanted
            )
            return response.status, _read(response), response.headers
        except LocationValueError as error:
            refused = type(error).__name__
        except (HTTPError, OSError) as error:
            busy = type(error).__name__
        except ValueError as error:  # a line end in a token: http.client shows the whole header in its error
            refused = type(error).__name__
        # Raised outside the handlers: a chained urllib3 error would carry the address, and with it a token.
        if refused:
            raise ChannelRefused(f"{api}: no request can be made of this address and token ({refused}); check them")
        raise ChannelBusy(f"{api}: no answer ({busy})", PATIENCE_SECONDS)

    def _connections(self) -> PoolManager:
        if self._pool is None:
            from urllib3 import PoolManager, Timeout

            logging.getLogger("urllib3.connectionpool").addFilter(_without_addresses)
            self._pool = PoolManager(maxsize=4, timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS))
        return self._pool

    def _retry_after(self, headers: Mapping[str, str], document: Mapping[str, Any]) -> float:
        """Seconds to wait: Telegram's `parameters.retry_after`, else the header (seconds or a date), else our own."""
        parameters = document.get("parameters")
        told = parameters.get("retry_after") if isinstance(parameters, Mapping) else None
        for value in (told, headers.get("Retry-After")):
            seconds = _seconds(value, self._clock())
            if seconds is not None:
                return seconds
        return PATIENCE_SECONDS


def _read(response: BaseHTTPResponse) -> bytes:
    """The answer's body; the connection goes back to the pool when the body was read whole, and is closed otherwise."""
    body = response.read(LARGEST_ANSWER, decode_content=True)
    if response.read(1):
        response.close()
    response.release_conn()
    return body


def _object(raw: bytes) -> Mapping[str, Any] | None:
    """The JSON object in an answer; None when there is none."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _seconds(value: Any, now: float) -> float | None:
    """A wait in seconds, given as such or as an HTTP date; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        seconds = _until(str(value), now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str, now: float) -> float:
    """Seconds until an HTTP date; not a number when it is none."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, OverflowError, TypeError):
        return math.nan


def _without_addresses(record: logging.LogRecord) -> bool:
    """Keeps urllib3 from logging the address of each request, which it does at DEBUG."""
    return record.levelno > logging.DEBUG
