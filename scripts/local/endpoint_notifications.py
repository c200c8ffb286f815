"""The JSON that SageMaker publishes when an asynchronous inference has ended.

Fields and wording as seen in real notifications (AWS documents only some). Pure functions: knows nothing
of SNS or of how the inference ran.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from scripts.local.endpoint_jobs import Job

MAX_INCLUDED_BYTES = 128 * 1024  # a longer response is only named by its S3 address


def notification(
    job: Job,
    region: str,
    status: str,
    *,
    content: bytes | None = None,
    content_type: str | None = None,
    output_location: str | None = None,
    failure_location: str | None = None,
    failure_reason: str | None = None,
) -> str:
    """Return the SNS message for a job that ended as ``status``: Completed, Failed or Expired.

    ``content`` is what the model answered, if it did; it is included when it is at most 128 KB long.
    """
    message: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _timestamp(datetime.now(UTC)),
        "receivedTime": _timestamp(datetime.fromtimestamp(job.received, UTC)),
        "invocationStatus": status,
        "requestParameters": _request_parameters(job),
        "inferenceId": job.request.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    response = {
        "contentType": content_type,
        "outputLocation": output_location,
        "failureLocation": failure_location,
    }
    if content is not None or failure_location is not None:
        message["responseParameters"] = {name: value for name, value in response.items() if value is not None}
    if failure_reason is not None:
        message["failureReason"] = failure_reason
    if content is not None and len(content) <= MAX_INCLUDED_BYTES:
        message["responseBody"] = {
            "content": base64.b64encode(content).decode("ascii"),
            "message": "Check S3 path location(if configured) or Cloudwatch for additional details.",
            "encoding": "BASE64",
        }
    return json.dumps(message)


def _request_parameters(job: Job) -> dict[str, str]:
    request = job.request
    parameters = {
        "accept": request.accept,
        "contentType": request.content_type,
        "customAttributes": request.custom_attributes,
        "endpointName": request.endpoint,
        "inputLocation": request.input_location,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
