"""The model server's image: built in the owner's account by CodeBuild, from sources that this checkout sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from scripts.deployment.archives import fingerprint
from scripts.deployment.failures import BuildFailed

PAUSE_SECONDS = 10.0


def find_image(session: boto3.Session, repository: str, tag: str) -> str | None:
    """The address of the image with this tag, when it has been built. `repository` is its address without a tag."""
    client = session.client("ecr")
    name = repository.partition("/")[2]
    try:
        client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except (client.exceptions.ImageNotFoundException, client.exceptions.RepositoryNotFoundException):
        return None
    return f"{repository}:{tag}"


def build_image(
    session: boto3.Session,
    project: str,
    bucket: str,
    source: Path,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Send the sources, start the build, and wait for its end (some minutes). Raises BuildFailed."""
    tag = fingerprint(source)
    key = f"build/{tag}.zip"
    say(f"sending the image's sources ({source.stat().st_size:,} bytes)")
    session.client("s3").upload_file(str(source), bucket, key)
    client = session.client("codebuild")
    try:
        build = client.start_build(
            projectName=project, sourceTypeOverride="S3", sourceLocationOverride=f"{bucket}/{key}",
            environmentVariablesOverride=[{"name": "TAG", "value": tag, "type": "PLAINTEXT"}],
        )["build"]  # fmt: skip
    except ClientError as error:
        raise BuildFailed(f"the build could not be started: {' '.join(str(error).split())[:300]}") from None
    phase = ""
    while build["buildStatus"] == "IN_PROGRESS":
        if build.get("currentPhase") not in (None, phase):
            phase = build["currentPhase"]
            say(f"building the image: {phase.lower().replace('_', ' ')}")
        pause(PAUSE_SECONDS)
        (build,) = client.batch_get_builds(ids=[build["id"]])["builds"]
    if build["buildStatus"] != "SUCCEEDED":
        where = build.get("logs", {}).get("deepLink") or f"CodeBuild, project {project}"
        raise BuildFailed(f"the image's build ended as {build['buildStatus']}; its log: {where}")
