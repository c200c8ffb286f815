"""What every run begins with: a provisioned cloud and two platforms behind the proxy.

Made once; a run is played in a fork of the process that holds it, so no run sees another's traces.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import boto3

from parley.aws import clients
from scripts.local.local_settings import write_api_key, write_secrets
from scripts.local.provision import Provisioner
from tests.channels.platforms import SlackApi, TelegramApi
from tests.channels.webhook_requests import SECRET_TOKEN, SIGNING_SECRET
from tests.chaos.cloud import Cloud
from tests.chaos.model import REGION
from tests.chaos.platform import PlatformService
from tests.chaos.proxy import Proxy

RESOURCES = Path(__file__).parents[2] / "chalice-app/.chalice/resources.json"
API_KEY, SLACK_TOKEN, TELEGRAM_TOKEN = "key-of-the-proofs", "xoxb-of-the-proofs", "4242:of-the-proofs"
SIGNING_KEY = "k" * 64
SERVICES = (
    "application-autoscaling", "dynamodb", "s3", "sagemaker", "sagemaker-runtime", "sns", "sqs", "ssm",
)  # fmt: skip
"""Clients that are made beforehand, for speed; a function may make others."""


class World:
    """The parts of a run. `now` is its clock, in epoch seconds."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0  # later than the rehearsal, which takes place now
        self.cloud = Cloud(lambda: self.now)
        self.slack = PlatformService("slack", SlackApi(SLACK_TOKEN))
        self.telegram = PlatformService("telegram", TelegramApi(TELEGRAM_TOKEN))
        self.proxy = Proxy({"aws": self.cloud, "slack": self.slack, "telegram": self.telegram})
        self._set_environment()
        self.while_served(self._provision)
        self._make_clients()

    def _set_environment(self) -> None:
        for name in [name for name in os.environ if name.startswith(("AWS_", "PARLEY_"))]:
            del os.environ[name]
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": self.proxy.urls["aws"],
            "POWERTOOLS_TRACE_DISABLED": "true", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip

    def _provision(self) -> None:
        session = boto3.Session(region_name=REGION)
        template = json.loads(RESOURCES.read_text())
        deployment = Provisioner(session).provision(template)
        environment = deployment.environment
        topic = session.client("sns").create_topic(Name="parley-alarms")["TopicArn"]
        os.environ |= {**environment, "PARLEY_ALARMS_TOPIC": topic}
        secrets = {
            "SLACK_SIGNING_SECRET": SIGNING_SECRET, "SLACK_BOT_TOKEN": SLACK_TOKEN,
            "SLACK_API_URL": f"{self.proxy.urls['slack']}/api", "TELEGRAM_SECRET_TOKEN": SECRET_TOKEN,
            "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN, "TELEGRAM_API_URL": self.proxy.urls["telegram"],
        }  # fmt: skip
        write_secrets(session, environment["PARLEY_SECRETS_PATH"], SIGNING_KEY, secrets)
        write_api_key(session, environment["PARLEY_TABLE"], API_KEY)
        self.cloud.deployed(deployment, template)

    def while_served(self, work: Callable[[], None]) -> None:
        """Do something that calls the cloud from this process. The thread is gone afterwards: threads do not fork."""
        stop, stopped = socket.socketpair()
        thread = threading.Thread(
            target=self.proxy.serve,
            args=(lambda: bool(select.select([stopped], [], [], 0)[0]), [stopped], "", _Nobody()),
        )
        thread.start()
        try:
            work()
        finally:
            stop.send(b".")
            thread.join()

    def _make_clients(self) -> None:
        clients._make.cache_clear()
        for service in SERVICES:
            clients.client(service)

    def forget(self) -> None:
        """Close every connection, from both sides, and forget what was called, asked and taken."""
        for service in SERVICES:
            clients.client(service)._endpoint.http_session.close()
        self.proxy.close()
        self.proxy.calls.clear()
        self.cloud.model.forget()
        self.slack.taken.clear()
        self.telegram.taken.clear()


class _Nobody:
    """The caller of calls at which nothing goes wrong."""

    def kill(self) -> None:
        """There is nobody."""

    def time_out(self, seconds: float) -> None:
        """There is nobody."""
