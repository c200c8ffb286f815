"""An account on moto in this process, as far as moto goes, in which a deployment can be made to die at any call."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
from moto import mock_aws

from scripts.local import moto_stacks

REGION = "eu-west-1"

Json = dict[str, Any]


class Died(BaseException):
    """The process is gone: no `except Exception` sees it."""


class Cloud:
    """A session whose calls are counted and may be the last: `die_at` is the number of the call that kills."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.die_at: int | None = None
        self.quotas = {"ml.g4dn.xlarge": 1, "ml.g6.xlarge": 0}
        hooked = botocore.session.get_session()
        hooked.register("before-call.*.*", self._before)
        hooked.register("before-call.service-quotas.ListServiceQuotas", self._quotas)
        self.session = boto3.Session(botocore_session=hooked, region_name=REGION)
        self.outside = boto3.Session(region_name=REGION)

    def _before(self, model: Any, **_: Any) -> None:
        self.calls.append(f"{model.service_model.service_name} {model.name}")
        if self.die_at is not None and len(self.calls) > self.die_at:
            # An upload's own thread that died alone would leave the others waiting: there the call fails instead.
            alone = threading.current_thread() is not threading.main_thread()
            raise ConnectionError(self.calls[-1]) if alone else Died(self.calls[-1])

    def _quotas(self, **_: Any) -> tuple[Any, Json]:
        """The answer of Service Quotas, which moto has for other services only."""
        quotas = [{"QuotaName": f"{kind} for endpoint usage", "Value": float(n)} for kind, n in self.quotas.items()]
        return SimpleNamespace(status_code=200), {"Quotas": quotas, "ResponseMetadata": {"HTTPStatusCode": 200}}

    @property
    def builds(self) -> int:
        """How many builds of an image were started."""
        return self.calls.count("codebuild StartBuild")


@contextmanager
def cloud(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ACCESS_KEY_ID", "x")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    moto_stacks.install(patch.setattr)
    patch.setattr("yaml.load", lambda text, Loader=None: json.loads(text))  # moto reads JSON as YAML, at 0.3 s a look
    with mock_aws():
        yield Cloud()
