"""The environment variables of the local processes: which cloud they talk to, and what they must not see."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.local.local_settings import CHANNELS, FIELDS

_SECRET_NAMES = {f"{channel}_{field}".upper() for channel in CHANNELS for field in FIELDS} | {"PARLEY_API_KEY"}
DEFAULT_REGION = "us-east-1"


def base_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without channel secrets, with one region, loopback past any proxy.

    Secrets are dropped because the stages must read them from SSM, as deployed.
    """
    environment = {name: value for name, value in given.items() if name not in _SECRET_NAMES}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = region
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    # this would send requests past the endpoint addresses below, to the real cloud
    environment.pop("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", None)
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1,localhost"]))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def with_dummy_credentials(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment with keys that mean nothing, unless it has an access key already."""
    if environment.get("AWS_ACCESS_KEY_ID"):
        return environment
    kept = {name: value for name, value in environment.items() if name not in {"AWS_PROFILE", "AWS_SESSION_TOKEN"}}
    return kept | {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
