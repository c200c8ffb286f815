"""The model's container as SageMaker sees it: ``GET /ping`` and ``POST /invocations``, and how they go wrong.

Knows the container contract; knows nothing of queues, S3 or notifications.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass

from scripts.local.endpoint_requests import InferenceRequest

PING_SECONDS = 2.0  # SageMaker waits two seconds for a ping
CONNECT_SECONDS = 2.0
PING_INTERVAL_DOWN = 0.25
PING_INTERVAL_UP = 2.0


class ContainerDown(Exception):
    """Nothing listens: the request never reached the model."""


class ContainerDied(Exception):
    """The connection broke before the answer was whole: the model may or may not have worked on it."""


class InvocationTimedOut(Exception):
    """No answer within InvocationTimeoutSeconds."""


class InvalidAnswer(Exception):
    """The answer breaks the container contract; the message is SageMaker's."""


@dataclass(frozen=True)
class ModelAnswer:
    """What ``/invocations`` answered."""

    status: int
    content_type: str | None
    body: bytes


class ModelContainer:
    """One container at host:port. Thread-safe: a connection for each call."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def ping(self) -> bool:
        """Return whether ``/ping`` answers 200 within two seconds."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PING_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def invoke(self, request: InferenceRequest, body: bytes) -> ModelAnswer:
        """Post one inference and return the answer, whatever its status.

        Raises ContainerDown, ContainerDied, InvocationTimedOut or InvalidAnswer (see each).
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except OSError as error:
            raise ContainerDown(str(error)) from error
        try:
            connection.sock.settimeout(request.timeout_seconds)
            connection.request("POST", "/invocations", body, _forwarded_headers(request))
            response = connection.getresponse()
            if response.getheader("Content-Length") is None:
                raise InvalidAnswer(
                    "The response from container primary did not specify the required Content-Length header"
                )
            return ModelAnswer(response.status, response.getheader("Content-Type"), response.read())
        except TimeoutError as error:
            raise InvocationTimedOut(f"no answer within {request.timeout_seconds} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ContainerDied(str(error) or type(error).__name__) from error
        finally:
            connection.close()


def _forwarded_headers(request: InferenceRequest) -> dict[str, str]:
    headers = {
        "Content-Type": request.content_type or "application/octet-stream",
        "Accept": request.accept,
        "X-Amzn-SageMaker-Custom-Attributes": request.custom_attributes,
        "X-Amzn-SageMaker-Inference-Id": request.inference_id,
    }
    return {name: value for name, value in headers.items() if value is not None}


class InstanceMonitor:
    """Knows whether the container answers pings; the endpoint has one instance while it does, else none."""

    def __init__(self, ping: Callable[[], bool]) -> None:
        self._ping = ping
        self._up = threading.Event()
        self._look = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def instances(self) -> int:
        """1 while the container answers, else 0."""
        return int(self._up.is_set())

    def wait_until_up(self, seconds: float) -> bool:
        """Return whether the container is up, waiting for it up to ``seconds``."""
        return self._up.wait(seconds)

    def seen_down(self) -> None:
        """A call found nothing listening: look again at once."""
        self._up.clear()
        self._look.set()

    def _watch(self) -> None:
        while True:
            if self._ping():
                self._up.set()
            else:
                self._up.clear()
            self._look.wait(PING_INTERVAL_UP if self._up.is_set() else PING_INTERVAL_DOWN)
            self._look.clear()
