"""Write what this release stores, queues and is told by the model into tests/upgrade/golden/RELEASE, in every state in
which a later release may find it. The tests read every release's files with today's code, and hold today's writers to
the newest ones. What a release has shipped with is never written again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import boto3
from botocore.config import Config
from moto import mock_aws

from tests.contracts.conftest import create_table
from tests.upgrade import golden
from tests.upgrade.deployment import Deployment
from tests.upgrade.states import bring_about


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 2 where the release has its goldens already."""
    parser = argparse.ArgumentParser(
        prog="scripts/goldens", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--overwrite", action="store_true", help="write anew what is not released yet")
    options = parser.parse_args(arguments)
    release = golden.this_release()
    if release in golden.releases() and not options.overwrite:
        print(
            f"goldens: {release} has its goldens already; raise the version in pyproject.toml, "
            "or give --overwrite while it is not released",
            file=sys.stderr,
        )
        return 2
    print(f"written to {golden.write(release, dump_of_today())}")
    return 0


def dump_of_today() -> dict[str, object]:
    """What today's code writes, in every state."""
    with mock_aws():
        deployment = empty_deployment()
        bring_about(deployment)
        return deployment.dump()


def empty_deployment() -> Deployment:
    """One over an empty table; inside moto's `mock_aws`."""
    apart = Config(ignore_configured_endpoint_urls=True)
    client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=apart)
    return Deployment(client, create_table(client))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
