"""Take Parley out of your AWS account.

The stack goes. What people wrote stays, unless --delete-data: the table, the bucket with what the model was sent in the
last days, the image, and the secrets under /parley-STAGE/. What would go is shown, and goes once you agree. Can be run
again after a failure. The bucket of artefacts, which all stages share, holds no data of users and stays.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import boto3

from scripts.deployment.account import identify, open_session
from scripts.deployment.arguments import add_place, explain, say
from scripts.deployment.failures import BadStack
from scripts.deployment.stack import Stack

PROGRAM = "destroy"

KEPT_TYPES = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::ECR::Repository"}
"""What the template retains when its stack goes."""


class Destroyer:
    """One run over a boto3 session; `say` hears what is done, `pause` sleeps."""

    def __init__(
        self,
        session: boto3.Session,
        stack: str,
        say: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._name = stack
        self._say = say
        self.stack = Stack(session, stack, say, pause)

    def holdings(self) -> dict[str, str]:
        """What holds data: physical name by type and logical name, `AWS::S3::Bucket Bucket` for instance.

        Raises BadStack when there is no such stack.
        """
        if self.stack.describe() is None:
            raise BadStack(f"there is no stack {self._name} in this region; nothing to do")
        client = self._session.client("cloudformation")
        pages = client.get_paginator("list_stack_resources").paginate(StackName=self._name)
        found = (resource for page in pages for resource in page["StackResourceSummaries"])
        return {
            f"{resource['ResourceType']} {resource['LogicalResourceId']}": resource["PhysicalResourceId"]
            for resource in found
            if resource["ResourceType"] in KEPT_TYPES and resource.get("PhysicalResourceId")
        }

    def secrets(self) -> list[str]:
        """The names of the deployment's parameters that the stack did not make."""
        pages = (
            self._session.client("ssm")
            .get_paginator("describe_parameters")
            .paginate(ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [f"/{self._name}"]}])
        )
        return sorted(entry["Name"] for page in pages for entry in page["Parameters"])

    def run(self, delete_data: bool) -> None:
        """Delete the stack and, if asked, the data. Raises DeploymentFailed or a child."""
        held = self.holdings()
        self.stack.delete()
        if not delete_data:
            return
        for place, name in held.items():
            kind = place.partition(" ")[0]
            self._say(f"deleting {name}")
            if kind == "AWS::DynamoDB::Table":
                client = self._session.client("dynamodb")
                client.update_table(TableName=name, DeletionProtectionEnabled=False)
                client.delete_table(TableName=name)
            elif kind == "AWS::S3::Bucket":
                self._empty(name)
                self._session.client("s3").delete_bucket(Bucket=name)
            else:
                self._session.client("ecr").delete_repository(repositoryName=name, force=True)
        client = self._session.client("ssm")
        for name in self.secrets():
            self._say(f"deleting {name}")
            client.delete_parameter(Name=name)

    def _empty(self, bucket: str) -> None:
        for batch in self._objects(bucket):
            self._session.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})

    def _objects(self, bucket: str) -> Iterator[list[dict[str, str]]]:
        """All objects and their versions, in batches."""
        for page in self._session.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            batch = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]
            if batch:
                yield batch


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0; 1 when the owner did not agree; 2 with one line that says what to do."""
    options = _parser().parse_args(arguments)
    with explain(PROGRAM) as outcome:
        session = open_session(options.region, options.profile)
        identify(session)
        destroyer = Destroyer(session, f"parley-{options.stage}", lambda text: say(PROGRAM, text))
        held = destroyer.holdings()
        if not _agreed(options, held):
            return 1
        destroyer.run(options.delete_data)
        kept = {} if options.delete_data else held
        print(json.dumps({"deleted": f"parley-{options.stage}", "kept": kept}) if options.json else _report(kept))
    return outcome.status


def _agreed(options: argparse.Namespace, held: dict[str, str]) -> bool:
    fate = "goes with all that is in it" if options.delete_data else "stays"
    for place, name in held.items():
        say(PROGRAM, f"{name} ({place.partition(' ')[0]}) {fate}")
    say(PROGRAM, f"the secrets under /parley-{options.stage}/ {'go' if options.delete_data else 'stay'}")
    if options.yes:
        return True
    if not sys.stdin.isatty():
        say(PROGRAM, "nobody is here to agree; run it with --yes")
        return False
    answer = input(f"Type the stack's name, parley-{options.stage}, to delete it: ")
    return answer.strip() == f"parley-{options.stage}"


def _report(kept: dict[str, str]) -> str:
    return "\n".join(["the stack is gone", *(f"kept: {name}" for name in kept.values())])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/destroy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--delete-data", action="store_true", help="also delete what people wrote, for good")
    parser.add_argument("--yes", action="store_true", help="agree beforehand")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
