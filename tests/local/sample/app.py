"""A small application with the handlers that the local runtime expects; it knows no Parley.

POST /say sends the text on its way: inbox -> model -> replies -> outbox -> table; GET /said/{id} reads it.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time

import boto3
from chalice.app import Chalice, NotFoundError, Response, SQSEvent

app = Chalice(app_name="sample")
sqs = boto3.client("sqs")
table = boto3.client("dynamodb")
model = boto3.client("sagemaker-runtime")


@app.route("/say/{thread}", methods=["POST"])
def say(thread: str) -> Response:
    assert app.current_request is not None
    text = app.current_request.json_body["text"]
    sqs.send_message(
        QueueUrl=os.environ["PARLEY_INBOX_URL"],
        MessageBody=json.dumps({"id": thread, "text": text}),
        MessageGroupId=thread,
        MessageDeduplicationId=f"{thread}-{time.time_ns()}",
    )
    return Response({"id": thread}, status_code=202)


@app.route("/said/{thread}", methods=["GET"])
def said(thread: str) -> dict[str, str]:
    found = table.get_item(TableName=os.environ["PARLEY_TABLE"], Key={"pk": {"S": thread}, "sk": {"S": "SAID"}})
    if "Item" not in found:
        raise NotFoundError(thread)
    return {"text": found["Item"]["text"]["S"]}


@app.on_sqs_message(queue="inbox", batch_size=10)
def think(event: SQSEvent) -> None:
    for record in event:
        message = json.loads(record.body)
        if message["text"] == "hold on":
            threading.Event().wait(60)
        model.invoke_endpoint_async(
            EndpointName=os.environ["PARLEY_ENDPOINT"],
            Body=message["text"].encode(),
            InferenceId=message["id"],
            ContentType="text/plain",
        )


@app.on_sqs_message(queue="replies", batch_size=10)
def reply(event: SQSEvent) -> None:
    for record in event:
        notification = json.loads(record.body)
        text = base64.b64decode(notification["responseBody"]["content"]).decode()
        sqs.send_message(
            QueueUrl=os.environ["PARLEY_OUTBOX_URL"],
            MessageBody=json.dumps({"id": notification["inferenceId"], "text": text}),
            MessageGroupId=notification["inferenceId"],
            MessageDeduplicationId=f"{notification['inferenceId']}-{time.time_ns()}",
        )


@app.on_sqs_message(queue="outbox", batch_size=10)
def deliver(event: SQSEvent) -> None:
    for record in event:
        message = json.loads(record.body)
        item = {"pk": {"S": message["id"]}, "sk": {"S": "SAID"}, "text": {"S": message["text"]}}
        table.put_item(TableName=os.environ["PARLEY_TABLE"], Item=item)


@app.schedule("rate(1 minute)")
def sweep(event: object) -> None:
    print("swept")
