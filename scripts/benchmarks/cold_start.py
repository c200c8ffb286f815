"""What a fresh process costs: the receive Lambda's imports and clients against bare boto3 with one client."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

BASELINE = "import boto3; boto3.client('sqs')"
RECEIVE = """
import app
from chalicelib import webhooks
from chalicelib.wiring import wiring
ready = wiring()
ready.telemetry, ready.inbox, ready.channels, ready.secrets
import parley.channels.slack
"""
"""Everything that a webhook needs before its first byte is read, both clients (SQS, SSM) included."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "POWERTOOLS_TRACE_DISABLED": "true",
    **{f"PARLEY_{name}": "x" for name in ("TABLE", "BUCKET", "ENDPOINT", "SECRETS_PATH")},
    **{f"PARLEY_{name}_URL": "https://x" for name in ("INBOX", "INBOX_DEAD_LETTERS", "OUTBOX", "OUTBOX_DEAD_LETTERS")},
}  # fmt: skip


@dataclass(frozen=True)
class ColdStart:
    """Medians in milliseconds, and the median of the pairs' ratios."""

    baseline_ms: float
    receive_ms: float
    ratio: float


def measure(pairs: int) -> ColdStart:
    """`pairs` of fresh processes, one of each in turn, so that a machine that slows down slows both."""
    timed = [(_run(BASELINE), _run(RECEIVE)) for _ in range(pairs + 1)][1:]  # the first pair warms the disk's cache
    return ColdStart(
        statistics.median(pair[0] for pair in timed),
        statistics.median(pair[1] for pair in timed),
        statistics.median(receive / baseline for baseline, receive in timed),
    )


def _run(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **ENVIRONMENT}, check=True)
    return (time.perf_counter() - begun) * 1000
