"""Counts of the AWS requests that crossed the wire, and the seconds the emulator spent on them.

Knows how an AWS request names its service, operation and caller; knows nothing of what the operations do.
Served at ``/_parley/requests``: GET reads, POST reads and starts again from nothing.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

LEDGER_PATH = "/_parley/requests"

# botocore ends its User-Agent with "Botocore/<version>" and then what Config(user_agent_extra=...) gave.
_CALLER = re.compile(r"Botocore/\S+(\s.+)$")
# Powertools, where it is imported, signs every client of its process behind that.
_POWERTOOLS = re.compile(r"\s*PT/\S+ PTEnv/\S+")
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class WireRequest:
    """Who asked which service for what: the key under which a request is counted."""

    service: str
    operation: str
    caller: str
    region: str = ""


def read_wire_request(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> WireRequest:
    """Return what an AWS request asks for, read from its signature scope, target header, form or path.

    ``headers`` has lower-case names. Where a part cannot be told, it is "unknown" (caller: "").
    Only path-style S3 addresses are understood (botocore uses them for every IP address).
    """
    scope = _SCOPE.search(headers.get("authorization", ""))
    region, service = (scope.group(1), scope.group(2)) if scope else ("", "unknown")
    caller = _CALLER.search(headers.get("user-agent", ""))
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if not operation and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        operation = parse_qs(body[:4096].decode("latin-1")).get("Action", [""])[0]
    if not operation and service == "sagemaker" and path.endswith("/async-invocations"):
        operation = "InvokeEndpointAsync"
    if not operation and service in {"s3", "unknown"}:
        service, operation = "s3", _s3_operation(method, path, query, headers)
    name = _POWERTOOLS.sub("", caller.group(1)).strip() if caller else ""
    return WireRequest(service, operation or "unknown", name, region)


def _s3_operation(method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
    bucket, _, key = path.lstrip("/").partition("/")
    parameters = parse_qs(query, keep_blank_values=True)
    if not bucket:
        return "ListBuckets"
    if not key:
        if method == "GET" and "list-type" in parameters:
            return "ListObjectsV2"
        if method == "POST" and "delete" in parameters:
            return "DeleteObjects"
        sub = next((name for name in parameters if name != "x-id"), "")
        verb = {"GET": "Get", "PUT": "Put" if sub else "Create", "DELETE": "Delete", "HEAD": "Head"}.get(method, method)
        return f"{verb}Bucket{sub.title().replace('-', '')}"
    if "uploadId" in parameters:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}.get(
            method, "ListParts"
        )
    if method == "POST" and "uploads" in parameters:
        return "CreateMultipartUpload"
    if method == "PUT" and "x-amz-copy-source" in headers:
        return "CopyObject"
    return {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}.get(method, method)


class RequestLedger:
    """Thread-safe sums by (service, operation, caller) of requests and of the seconds spent on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str], list[float]] = {}

    def add(self, request: WireRequest, status: int, seconds: float) -> None:
        """Count one request answered with HTTP ``status`` after ``seconds`` of work (without waiting)."""
        with self._lock:
            sums = self._sums.setdefault((request.service, request.operation, request.caller), [0, 0, 0.0])
            sums[0] += 1
            sums[1] += status >= 400
            sums[2] += seconds

    def report(self, reset: bool = False) -> bytes:
        """Return the sums as JSON: ``requests`` (one entry a key), ``total``, ``seconds``; may zero them."""
        with self._lock:
            sums = self._sums
            if reset:
                self._sums = {}
            else:
                sums = {key: list(value) for key, value in sums.items()}
        entries = [
            {
                "service": service,
                "operation": operation,
                "caller": caller,
                "count": int(count),
                "errors": int(errors),
                "seconds": round(seconds, 6),
            }
            for (service, operation, caller), (count, errors, seconds) in sorted(sums.items())
        ]
        total = sum(int(value[0]) for value in sums.values())
        spent = round(sum(value[2] for value in sums.values()), 6)
        return json.dumps({"requests": entries, "total": total, "seconds": spent}).encode()
