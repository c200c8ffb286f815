"""Whose account a deployment goes to, and whether it can: asked before anything is created."""

from __future__ import annotations

from dataclasses import dataclass

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
)

from scripts.deployment.failures import BadAccount


@dataclass(frozen=True)
class Account:
    """Where the session's credentials lead."""

    id: str
    region: str
    partition: str

    @property
    def artefacts(self) -> str:
        """The bucket that holds the artefacts of all stages in this region."""
        return f"parley-artefacts-{self.id}-{self.region}"


def open_session(region: str | None, profile: str | None) -> boto3.Session:
    """A session where the owner wants to work. Raises BadAccount when that is nowhere."""
    try:
        session = boto3.Session(region_name=region, profile_name=profile)
    except ProfileNotFound:
        raise BadAccount(f"there is no profile {profile!r}; see 'aws configure list-profiles'") from None
    if not session.region_name:
        raise BadAccount("no region is set; give --region, or set AWS_DEFAULT_REGION")
    return session


def identify(session: boto3.Session) -> Account:
    """The account. Raises BadAccount when there are no credentials that work."""
    try:
        identity = session.client("sts").get_caller_identity()
    except NoCredentialsError:
        raise BadAccount("no credentials found; run 'aws configure', or set AWS_PROFILE") from None
    except EndpointConnectionError:
        raise BadAccount(
            f"AWS cannot be reached in {session.region_name}; is that a region, and the network up?"
        ) from None
    except (ClientError, BotoCoreError) as error:
        raise BadAccount(f"the credentials do not work ({_short(error)}); log in again") from None
    return Account(identity["Account"], session.region_name, identity["Arn"].split(":")[1])


def check_quota(session: boto3.Session, instance_type: str, wanted: int) -> str | None:
    """Raise BadAccount when the account may not run so many instances of this type for endpoints.

    Comes back with a remark where the quota cannot be told: not every region has the service, nor every role the right.
    """
    name = f"{instance_type} for endpoint usage"
    client = session.client("service-quotas")
    try:
        for page in client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"):
            for quota in page["Quotas"]:
                if quota["QuotaName"] != name:
                    continue
                if quota["Value"] < wanted:
                    raise BadAccount(
                        f"the account's quota '{name}' is {quota['Value']:g}, and {wanted} is needed; "
                        "ask for more under Service Quotas, SageMaker, or choose another --instance-type"
                    )
                return None
    except (ClientError, BotoCoreError) as error:
        return f"the quota '{name}' could not be read ({_short(error)})"
    return f"the account lists no quota '{name}'; check that the region offers this type"


def _short(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "error"))
    return type(error).__name__
