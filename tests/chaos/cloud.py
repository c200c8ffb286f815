"""AWS behind the proxy: SQS by the stand-in, the endpoint by a `Model`, tables, objects and topics by moto, all here.

SQS is the stand-in's because it keeps to AWS's documentation and to a clock that the run moves. Parameters and scalable
targets are kept in a few lines, because moto's weigh 100 MB, which every fork would carry. A transaction that the SDK
sends again under its token is not done again, as DynamoDB promises for ten minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.test import create_environ, run_wsgi_app

from scripts.local import moto_tables
from scripts.local.async_endpoint import aws_error
from scripts.local.endpoint_requests import ValidationError, read_inference_request
from scripts.local.http_server import HttpRequest, HttpResponse
from scripts.local.lambda_context import ACCOUNT
from scripts.local.provision import Deployment
from scripts.local.request_ledger import read_wire_request
from scripts.local.stand_in.sqs import Refused, Sqs
from tests.chaos.model import REGION, Model

CODES = {429: ("ThrottlingException", "SlowDown"), 500: ("InternalServerError", "InternalError")}
"""A failure's name in AWS's JSON services, and in those that speak XML."""


class Cloud:
    """A `Service` of the proxy's: one account of AWS."""

    patience = 20.0  # the read time-out of parley.aws.clients

    def __init__(self, clock: Callable[[], float]) -> None:
        moto_tables.install()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._transactions: dict[str, HttpResponse] = {}
        self._parameters: dict[str, str] = {}
        self.sqs = Sqs(clock)
        self.deployment = Deployment({}, {})
        self.model = Model(self._put_object, self._get_object, self._notify)

    def deployed(self, deployment: Deployment, template: Mapping[str, Any]) -> None:
        """The resources are made: from now on their queues are the stand-in's, with the template's settings."""
        self.deployment = deployment
        queues = {name: body for name, body in template["Resources"].items() if body["Type"] == "AWS::SQS::Queue"}
        for name in sorted(queues, key=lambda name: "RedrivePolicy" in queues[name]["Properties"]):
            settings = queues[name]["Properties"]
            policy = settings.get("RedrivePolicy")
            dead = self.queue(policy["deadLetterTargetArn"]["Fn::GetAtt"][0]) if policy else None
            most = policy["maxReceiveCount"] if policy else 0
            self.sqs.create(self.queue(name), settings.get("VisibilityTimeout", 30), most, dead)

    def queue(self, resource: str) -> str:
        """The stand-in's name of a queue of the template."""
        return self.deployment.resources[resource].ref.rpartition("/")[2]

    def queues(self, *, dead: bool) -> list[str]:
        """The names of the queues that carry messages, or of those that keep the ones that failed."""
        found = (name for name, made in self.deployment.resources.items() if made.type == "AWS::SQS::Queue")
        return [self.queue(name) for name in found if name.endswith("DeadLetters") == dead]

    def items(self) -> list[dict[str, Any]]:
        """Everything in the table, in DynamoDB's JSON."""
        table = dynamodb_backends[ACCOUNT][REGION].tables[self.deployment.resources["Table"].ref]
        return [item.to_json()["Attributes"] for item in table.all_items()]

    # -- what the proxy asks

    def name(self, request: HttpRequest) -> str:
        """For instance `dynamodb.TransactWriteItems`; as the request ledger names it."""
        path, _, query = request.target.partition("?")
        wire = read_wire_request(request.method, path, query, _headers(request), request.body)
        return f"{wire.service}.{wire.operation}"

    def act(self, request: HttpRequest) -> HttpResponse:
        """AWS's answer."""
        name = self.name(request)
        if name.startswith("sqs.") and self.deployment.resources:
            return self._queue_call(name, json.loads(request.body))
        match name:
            case "sagemaker.InvokeEndpointAsync":
                return self._invoke(request)
            case "sagemaker.DescribeEndpoint":
                variant = {"VariantName": "main", "CurrentInstanceCount": self.model.instances}
                return _json({"EndpointStatus": "InService", "ProductionVariants": [variant]})
            case "application-autoscaling.RegisterScalableTarget":
                self.model.instances = min(self.model.instances, json.loads(request.body)["MaxCapacity"])
                return _json({})
            case "ssm.GetParameter":
                return self._get_parameter(json.loads(request.body)["Name"])
            case "ssm.PutParameter":
                return self._put_parameter(json.loads(request.body))
            case "dynamodb.TransactWriteItems":
                return self._transact(request)
        return self._by_moto(request)

    def failure(self, request: HttpRequest, status: int) -> HttpResponse:
        """A failure that a client sees now and then."""
        code, code_in_xml = CODES[status]
        if request.header("X-Amz-Target") or request.target.startswith("/endpoints/"):
            return aws_error(400 if status == 429 else status, code, "Try again.")
        body = f"<ErrorResponse><Error><Code>{code_in_xml}</Code><Message>Try again.</Message></Error></ErrorResponse>"
        if self.name(request).startswith("s3."):
            body = f"<Error><Code>{code_in_xml}</Code><Message>Try again.</Message></Error>"
        return HttpResponse(503 if status == 429 else status, [("Content-Type", "text/xml")], body.encode())

    # -- services

    def _queue_call(self, name: str, arguments: dict[str, Any]) -> HttpResponse:
        calls: dict[str, Callable[..., dict[str, Any]]] = {
            "sqs.SendMessage": self.sqs.send_message,
            "sqs.ChangeMessageVisibility": self.sqs.change_message_visibility,
        }
        if name not in calls:
            return aws_error(400, "InvalidAction", f"teach tests/chaos/cloud.py the call {name}")
        try:
            return _json(calls[name](**{**arguments, "QueueUrl": arguments["QueueUrl"].rpartition("/")[2]}))
        except Refused as refusal:
            return aws_error(400, "InvalidParameterValue", str(refusal))

    def _invoke(self, request: HttpRequest) -> HttpResponse:
        try:
            inference = read_inference_request(request.target.split("/")[2], request.header, request.body)
        except ValidationError as error:
            return aws_error(400, "ValidationError", str(error))
        self.model.asked.append(inference)
        return _json({"InferenceId": inference.inference_id}, 202)

    def _get_parameter(self, name: str) -> HttpResponse:
        if name not in self._parameters:
            return aws_error(400, "ParameterNotFound", f"there is no parameter {name}")
        return _json({"Parameter": {"Name": name, "Value": self._parameters[name]}})

    def _put_parameter(self, asked: Mapping[str, Any]) -> HttpResponse:
        if asked["Name"] in self._parameters and not asked.get("Overwrite"):
            return aws_error(400, "ParameterAlreadyExists", f"there is a parameter {asked['Name']}")
        self._parameters[asked["Name"]] = asked["Value"]
        return _json({"Version": 1})

    def _transact(self, request: HttpRequest) -> HttpResponse:
        token = json.loads(request.body)["ClientRequestToken"]
        if token not in self._transactions:
            answer = self._by_moto(request)
            if answer.status != 200:
                return answer
            self._transactions[token] = answer
        return self._transactions[token]

    def _by_moto(self, request: HttpRequest) -> HttpResponse:
        path, _, query = request.target.partition("?")
        environ = create_environ(
            path, "http://127.0.0.1/", query, method=request.method, headers=request.headers, data=request.body
        )
        body, status, headers = run_wsgi_app(self._moto, environ)
        return HttpResponse(int(status[:3]), list(headers.items()), b"".join(body))

    # -- the model's ends

    def _put_object(self, key: str, content: bytes) -> str:
        bucket = self.deployment.resources["Bucket"].ref
        s3_backends[ACCOUNT]["aws"].put_object(bucket, key, content)
        return f"s3://{bucket}/{key}"

    def _get_object(self, location: str) -> bytes:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        found = s3_backends[ACCOUNT]["aws"].get_object(bucket, key)
        assert found is not None, location
        return bytes(found.value)

    def _notify(self, message: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue("Replies"), MessageBody=message)


def _headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def _json(document: Mapping[str, Any], status: int = 200) -> HttpResponse:
    content_type = [("Content-Type", "application/x-amz-json-1.0")]
    return HttpResponse(status, content_type, json.dumps(document).encode())
