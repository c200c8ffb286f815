"""The emulated cloud keeps what it acknowledged, counts what crossed the wire, and acts as AWS does."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.processes import LocalProcess

FIFO = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}


def make_table(cloud: LocalProcess, name: str) -> Any:
    client = cloud.client("dynamodb", max_pool_connections=32)
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    return client


def make_queue(cloud: LocalProcess, name: str = "", **attributes: str) -> tuple[Any, str]:
    client = cloud.client("sqs", max_pool_connections=32)
    suffix = ".fifo" if "FifoQueue" in attributes else ""
    name = name or f"q-{uuid.uuid4().hex}{suffix}"
    return client, client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def item(pk: str, **values: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": "x"}} | {name: {"S": value} for name, value in values.items()}


def put(table: str, pk: str, **values: str) -> dict[str, Any]:
    return {
        "Put": {
            "TableName": table,
            "Item": item(pk, **values),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }


def send(client: Any, url: str, body: str, group: str, key: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = client.send_message(
        QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=key or uuid.uuid4().hex
    )
    return answer


def receive(client: Any, url: str, wait: int = 0, visibility: int = 30) -> list[dict[str, Any]]:
    answer = client.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=wait,
        VisibilityTimeout=visibility,
        MessageSystemAttributeNames=["All"],
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


# -- what survives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["killed", "ended"])
def test_what_was_acknowledged_survives_a_restart(
    start: Callable[..., LocalProcess], tmp_path: Path, ended: str
) -> None:
    cloud = start("aws_emulator", "--data", str(tmp_path))
    table = make_table(cloud, "t")
    table.put_item(TableName="t", Item={**item("a", v="old"), "n": {"N": "1.5"}, "b": {"B": b"\x00\xff"}})
    table.update_item(
        TableName="t",
        Key=item("a"),
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"S": "new"}},
    )
    table.transact_write_items(TransactItems=[put("t", "b"), put("t", "c")])
    table.batch_write_item(RequestItems={"t": [{"PutRequest": {"Item": item("d")}}]})
    table.delete_item(TableName="t", Key=item("c"))
    with pytest.raises(ClientError):
        table.transact_write_items(TransactItems=[put("t", "e"), put("t", "b")])
    objects = cloud.client("s3")
    objects.create_bucket(Bucket="bucket")
    objects.put_object(
        Bucket="bucket",
        Key="model/é x.json",
        Body=b"\x00body",
        ContentType="application/json",
        Metadata={"a": "1"},
    )
    objects.put_object(Bucket="bucket", Key="gone", Body=b"")
    objects.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "gone"}]})
    queue, url = make_queue(cloud, "q.fifo", **FIFO)
    for number in range(12):
        send(queue, url, f"body {number}", f"group {number % 2}", f"key {number}")
    first = receive(queue, url)
    queue.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    if ended == "ended":
        assert cloud.end() == 0
    else:
        cloud.kill()

    cloud = start("aws_emulator", "--data", str(tmp_path))
    table = make_table(cloud, "t")
    found = {entry["pk"]["S"]: entry for entry in table.scan(TableName="t")["Items"]}
    assert found.keys() == {"a", "b", "d"}
    assert found["a"] == {**item("a", v="new"), "n": {"N": "1.5"}, "b": {"B": b"\x00\xff"}}
    objects = cloud.client("s3")
    objects.create_bucket(Bucket="bucket")
    kept = objects.get_object(Bucket="bucket", Key="model/é x.json")
    assert (kept["Body"].read(), kept["ContentType"], kept["Metadata"]) == (
        b"\x00body",
        "application/json",
        {"a": "1"},
    )
    assert [entry["Key"] for entry in objects.list_objects_v2(Bucket="bucket")["Contents"]] == ["model/é x.json"]
    queue, url = make_queue(cloud, "q.fifo", **FIFO)
    make_queue(cloud, "q.fifo", **FIFO)  # making it again must not put its messages in twice
    send(queue, url, "repeated", "group 1", "key 5")  # within the deduplication interval
    messages = receive(queue, url)
    for message in messages:
        queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    messages += receive(queue, url)
    assert [message["Body"] for message in messages] == [f"body {number}" for number in range(1, 12)]
    assert messages[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    assert messages[0]["Attributes"]["MessageDeduplicationId"] == "key 1"
    assert messages[-1]["Attributes"]["MessageGroupId"] == "group 1"


def test_expired_items_are_gone_after_a_restart(start: Callable[..., LocalProcess], tmp_path: Path) -> None:
    expiry = {"Enabled": True, "AttributeName": "expires"}
    cloud = start("aws_emulator", "--data", str(tmp_path))
    table = make_table(cloud, "t")
    table.update_time_to_live(TableName="t", TimeToLiveSpecification=expiry)
    for pk, offset in (("past", -10), ("future", 1000)):
        table.put_item(TableName="t", Item={**item(pk), "expires": {"N": str(int(time.time()) + offset)}})
    cloud.kill()
    table = make_table(start("aws_emulator", "--data", str(tmp_path)), "t")
    table.update_time_to_live(TableName="t", TimeToLiveSpecification=expiry)
    assert [entry["pk"]["S"] for entry in table.scan(TableName="t")["Items"]] == ["future"]


def test_deleting_a_table_or_queue_deletes_what_was_kept(start: Callable[..., LocalProcess], tmp_path: Path) -> None:
    cloud = start("aws_emulator", "--data", str(tmp_path))
    table = make_table(cloud, "t")
    table.put_item(TableName="t", Item=item("a"))
    table.delete_table(TableName="t")
    queue, url = make_queue(cloud, "q")
    queue.send_message(QueueUrl=url, MessageBody="a")
    queue.delete_queue(QueueUrl=url)
    cloud.kill()
    cloud = start("aws_emulator", "--data", str(tmp_path))
    assert make_table(cloud, "t").scan(TableName="t")["Count"] == 0
    assert receive(*make_queue(cloud, "q")) == []


# -- queues ----------------------------------------------------------------------------------------------


def test_a_long_poll_returns_as_soon_as_there_is_a_message(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(receive, client, url, 20)
        sent = time.monotonic()
        send(client, url, "now", "g")
        assert [message["Body"] for message in polled.result(10)] == ["now"]
        assert time.monotonic() - sent < 2


def test_a_fifo_group_is_locked_until_its_messages_are_deleted_or_visible(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    send(client, url, "1", "g")
    (first,) = receive(client, url)
    send(client, url, "2", "g")
    send(client, url, "other", "h")
    assert [message["Body"] for message in receive(client, url)] == ["other"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receive, client, url, 20)
        client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        (second,) = waiting.result(10)
    assert second["Body"] == "2"
    assert int(second["Attributes"]["SequenceNumber"]) > int(first["Attributes"]["SequenceNumber"])
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = receive(client, url)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_locked_group_costs_no_work_while_it_is_polled(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    send(client, url, "1", "g")
    (first,) = receive(client, url)
    send(client, url, "2", "g")
    read_ledger(cloud, reset=True)
    assert receive(client, url, wait=1) == []
    (entry,) = read_ledger(cloud)["requests"]
    assert entry["seconds"] < 0.3
    assert first["Body"] == "1"


def test_a_message_comes_back_when_its_visibility_timeout_has_passed(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    send(client, url, "1", "g")
    (first,) = receive(client, url, visibility=1)
    (second,) = receive(client, url, wait=10)
    assert (first["MessageId"], "2") == (second["MessageId"], second["Attributes"]["ApproximateReceiveCount"])
    with pytest.raises(ClientError, match="expired"):
        client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    client.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    client.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert receive(client, url) == []


def test_a_fifo_queue_remembers_a_deduplication_id_after_its_message_is_deleted(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    sent = send(client, url, "1", "g", "once")
    (message,) = receive(client, url)
    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    repeated = send(client, url, "1", "g", "once")
    assert (repeated["MessageId"], repeated["SequenceNumber"]) == (sent["MessageId"], sent["SequenceNumber"])
    send(client, url, "elsewhere", "another group", "once")
    assert [message["Body"] for message in receive(client, url)] == ["elsewhere"]


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(cloud: LocalProcess) -> None:
    client, dead = make_queue(cloud, **FIFO)
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    client, url = make_queue(cloud, **FIFO, RedrivePolicy=redrive)
    send(client, url, "poison", "g")
    for _ in range(2):
        assert receive(client, url, visibility=0)[0]["Body"] == "poison"
    send(client, url, "next", "g")
    assert [message["Body"] for message in receive(client, url)] == ["next"]
    assert [message["Body"] for message in receive(client, dead)] == ["poison"]


def test_receivers_side_by_side_never_get_the_same_message_or_group(cloud: LocalProcess) -> None:
    client, url = make_queue(cloud, **FIFO)
    for number in range(60):
        send(client, url, str(number), f"g{number % 6}")
    seen: dict[str, list[int]] = {}
    lock = threading.Lock()

    def work(_: int) -> None:
        while batch := receive(client, url):
            groups = {message["Attributes"]["MessageGroupId"] for message in batch}
            with lock:
                assert not groups & working, "a group was handed out while in flight"
                working.update(groups)
                for message in batch:
                    seen.setdefault(message["Attributes"]["MessageGroupId"], []).append(int(message["Body"]))
            for message in batch[:-1]:
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            with lock:  # the last delete unlocks the last group: it may be handed out before this thread goes on
                working.difference_update(groups)
                client.delete_message(QueueUrl=url, ReceiptHandle=batch[-1]["ReceiptHandle"])

    working: set[str] = set()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sum(map(len, seen.values())) + len(receive(client, url)) == 60
    assert all(numbers == sorted(numbers) for numbers in seen.values())


# -- table -----------------------------------------------------------------------------------------------


def test_a_failed_transaction_undoes_its_own_writes_and_no_one_elses(cloud: LocalProcess) -> None:
    table = make_table(cloud, "transactions")
    table.put_item(TableName="transactions", Item=item("taken"))

    def fail(number: int) -> None:
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            table.transact_write_items(
                TransactItems=[put("transactions", f"lost {number}"), put("transactions", "taken")]
            )

    def succeed(number: int) -> None:
        table.put_item(TableName="transactions", Item=item(f"kept {number}"))

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(work, number) for number in range(40) for work in (fail, succeed)]
        for job in jobs:
            job.result(30)
    found = {entry["pk"]["S"] for entry in table.scan(TableName="transactions")["Items"]}
    assert found == {"taken"} | {f"kept {number}" for number in range(40)}


def test_a_failed_transaction_restores_what_it_had_changed_and_deleted(cloud: LocalProcess) -> None:
    table = make_table(cloud, "undo")
    for pk in ("changed", "deleted", "taken"):
        table.put_item(TableName="undo", Item=item(pk, v="before"))
    change = {
        "TableName": "undo",
        "Key": item("changed"),
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": "after"}},
    }
    delete = {"TableName": "undo", "Key": item("deleted")}
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        table.transact_write_items(TransactItems=[{"Update": change}, {"Delete": delete}, put("undo", "taken")])
    found = {entry["pk"]["S"]: entry["v"]["S"] for entry in table.scan(TableName="undo")["Items"]}
    assert found == {"changed": "before", "deleted": "before", "taken": "before"}


# -- ledger ----------------------------------------------------------------------------------------------


def read_ledger(cloud: LocalProcess, reset: bool = False) -> dict[str, Any]:
    request = urllib.request.Request(f"{cloud.url}/_parley/requests", method="POST" if reset else "GET")
    with urllib.request.urlopen(request, timeout=5) as response:
        report: dict[str, Any] = json.load(response)
        return report


def test_requests_are_counted_by_service_operation_and_caller(cloud: LocalProcess) -> None:
    table = make_table(cloud, "counted")
    objects = cloud.client("s3", user_agent_extra="parley-think")
    client, url = make_queue(cloud)
    read_ledger(cloud, reset=True)
    table.put_item(TableName="counted", Item=item("a"))
    table.put_item(TableName="counted", Item=item("b"))
    with pytest.raises(ClientError):
        table.get_item(TableName="absent", Key=item("a"))
    objects.create_bucket(Bucket="counted")
    objects.put_object(Bucket="counted", Key="k", Body=b"1")
    objects.get_object(Bucket="counted", Key="k")["Body"].read()
    client.send_message(QueueUrl=url, MessageBody="x")
    report = read_ledger(cloud)
    counted = {(e["service"], e["operation"], e["caller"]): (e["count"], e["errors"]) for e in report["requests"]}
    assert counted == {
        ("dynamodb", "PutItem", ""): (2, 0),
        ("dynamodb", "GetItem", ""): (1, 1),
        ("s3", "CreateBucket", "parley-think"): (1, 0),
        ("s3", "PutObject", "parley-think"): (1, 0),
        ("s3", "GetObject", "parley-think"): (1, 0),
        ("sqs", "SendMessage", ""): (1, 0),
    }
    assert report["total"] == 7
    assert report["seconds"] > 0


def test_uploads_do_not_wait_for_permission_to_go_on(cloud: LocalProcess) -> None:
    objects = cloud.client("s3")
    objects.create_bucket(Bucket="uploads")
    started = time.monotonic()
    objects.put_object(Bucket="uploads", Key="k", Body=b"x" * 100_000)
    assert time.monotonic() - started < 0.9, "botocore waits a second for a '100 Continue' that never comes"


def test_connections_are_kept_open(cloud: LocalProcess) -> None:
    headers = cloud.client("sqs").list_queues()["ResponseMetadata"]["HTTPHeaders"]
    assert headers.get("connection") != "close"
