"""The asynchronous endpoint of a running system, by boto3's own client, as any other program would use it."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.conftest import Running
from tests.waiting import until

REQUEST = json.dumps({"messages": [{"role": "user", "content": "Hello!"}]}).encode()


@pytest.fixture
def cloud(system: Running) -> Any:
    """Makes clients that check nothing themselves, so that the other side has to."""

    def client(service: str) -> Any:
        part = "endpoint" if service.startswith("sagemaker") else "cloud"
        return boto3.client(
            service, endpoint_url=system.addresses[part], region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test", config=Config(parameter_validation=False),
        )  # fmt: skip

    return client


def result(cloud: Any, location: str) -> dict[str, Any]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    s3 = cloud("s3")

    def look() -> bytes | None:
        try:
            return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError:
            return None

    found: dict[str, Any] = json.loads(until(look))
    return found


@pytest.mark.parametrize("way", ["body", "location"])
def test_an_inference_leaves_its_result_where_it_said(cloud: Any, way: str) -> None:
    bucket = cloud("s3").list_buckets()["Buckets"][0]["Name"]
    source: dict[str, Any] = {"Body": REQUEST}
    if way == "location":
        cloud("s3").put_object(Bucket=bucket, Key="model/in/e2e.json", Body=REQUEST)
        source = {"InputLocation": f"s3://{bucket}/model/in/e2e.json"}
    answer = cloud("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="parley", ContentType="application/json", InferenceId=f"e2e-{way}", **source
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == f"e2e-{way}"
    assert answer["FailureLocation"].startswith("s3://")
    completion = result(cloud, answer["OutputLocation"])
    assert completion["choices"][0]["message"]["content"]
    assert completion["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    "wrong",
    [{}, {"Body": b"x" * 128_001}, {"Body": b"x", "RequestTTLSeconds": 59}, {"Body": b"x", "EndpointName": "other"},
     {"Body": b"x", "InputLocation": "s3://a/b"}, {"InputLocation": "ftp://a/b"},
     {"Body": b"x", "InferenceId": "a" * 65}],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused(cloud: Any, wrong: dict[str, Any]) -> None:
    runtime = cloud("sagemaker-runtime")
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint_async(**{"EndpointName": "parley", **wrong})
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_the_endpoint_describes_itself(cloud: Any) -> None:
    described = cloud("sagemaker").describe_endpoint(EndpointName="parley")
    assert described["EndpointStatus"] == "InService"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
