"""boto3 clients, made when first used and shared by a process. Every one honours AWS_ENDPOINT_URL, as boto3 does."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_making = threading.Lock()


def client(service: str) -> Any:
    """The client of a service, for instance `dynamodb`. Thread-safe, as boto3's clients are once they are made."""
    with _making:  # the default session, which makes them, is not
        return _make(service)


@cache
def _make(service: str) -> Any:
    import boto3
    from botocore.config import Config

    # Short connects and three tries in all: a Lambda that hangs on one call holds its whole batch up. A connection
    # that another thread may need at the same time is worth its socket: the pool is wider than boto3's 10.
    config = Config(
        connect_timeout=3,
        read_timeout=20,
        retries={"total_max_attempts": 3, "mode": "standard"},
        max_pool_connections=64,
    )
    return boto3.client(service, config=config)
