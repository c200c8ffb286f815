"""What the path relies on in SQS, held against moto and the stand-in; and AWS's rules that moto does not keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.local.stand_in.sqs import Refused, Sqs
from scripts.operations.place import lengths
from tests.contracts.conftest import Clock


def send(client: Any, url: str, body: str, group: str = "g", name: str | None = None) -> str:
    id: str = client.send_message(
        QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=name or body
    )["MessageId"]
    return id


def receive(client: Any, url: str, count: int = 10) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=count, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
    ).get("Messages", [])
    return found


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [record["Body"] for record in records]


def test_a_group_comes_in_the_order_it_was_sent(queues: Any) -> None:
    client, url = queues("q.fifo")
    for index in range(5):
        send(client, url, f"m{index}")
    assert bodies(receive(client, url)) == ["m0", "m1", "m2", "m3", "m4"]


def test_a_group_is_locked_while_a_message_of_it_is_in_flight(queues: Any) -> None:
    client, url = queues("q.fifo")
    for body in ("a1", "a2"):
        send(client, url, body, "a")
    send(client, url, "b1", "b")
    first = receive(client, url, 1)
    assert bodies(first) == ["a1"]
    assert bodies(receive(client, url)) == ["b1"]
    client.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    assert bodies(receive(client, url)) == ["a2"]


def test_what_is_not_deleted_comes_back_at_the_head_of_its_group(queues: Any) -> None:
    client, url = queues("q.fifo")
    for index in range(3):
        send(client, url, f"m{index}")
    taken = receive(client, url, 2)
    client.delete_message(QueueUrl=url, ReceiptHandle=taken[1]["ReceiptHandle"])
    assert receive(client, url) == []
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"], VisibilityTimeout=0)
    again = receive(client, url)
    assert bodies(again) == ["m0", "m2"]
    assert again[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again[0]["MessageId"] == taken[0]["MessageId"]


def test_a_queue_tells_how_many_messages_wait_and_how_many_are_in_flight(queues: Any) -> None:
    client, url = queues("q.fifo")
    for body in ("a1", "a2", "b1"):
        send(client, url, body, body[0])
    first = receive(client, url, 1)
    assert lengths(client, url) == (2, 1)
    client.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    assert lengths(client, url) == (2, 0)


def test_a_repeat_within_the_window_is_taken_and_not_delivered(queues: Any) -> None:
    client, url = queues("q.fifo")
    send(client, url, "m", name="same")
    send(client, url, "m", name="same")
    assert len(receive(client, url)) == 1


def test_a_record_has_what_an_event_needs(queues: Any) -> None:
    client, url = queues("q.fifo")
    client.send_message(
        QueueUrl=url, MessageBody="m", MessageGroupId="g", MessageDeduplicationId="d",
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "why"}},
    )  # fmt: skip
    record = receive(client, url)[0]
    assert {"MessageId", "ReceiptHandle", "Body", "MD5OfBody", "Attributes"} <= record.keys()
    wanted = {"ApproximateReceiveCount", "SentTimestamp", "MessageGroupId", "MessageDeduplicationId", "SequenceNumber"}
    assert wanted <= record["Attributes"].keys()
    assert record["MessageAttributes"]["reason"]["StringValue"] == "why"


def test_deleting_a_batch_leaves_the_rest(queues: Any) -> None:
    client, url = queues("plain")
    for index in range(3):
        client.send_message(QueueUrl=url, MessageBody=f"m{index}")
    taken = receive(client, url)
    client.delete_message_batch(
        QueueUrl=url, Entries=[{"Id": str(i), "ReceiptHandle": r["ReceiptHandle"]} for i, r in enumerate(taken[:2])]
    )
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=taken[2]["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(receive(client, url)) == [taken[2]["Body"]]


def give_back(client: Any, url: str, records: list[dict[str, Any]]) -> None:
    """The visibility timeout is over, without the wait."""
    for record in records:
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=record["ReceiptHandle"], VisibilityTimeout=0)


@pytest.mark.parametrize("name", ["q.fifo", "plain"])
def test_what_is_not_deleted_is_delivered_again_under_its_id_with_another_receipt(queues: Any, name: str) -> None:
    client, url = queues(name)
    order = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if name.endswith(".fifo") else {}
    client.send_message(QueueUrl=url, MessageBody="m", **order)
    seen = []
    for _ in range(3):
        seen += receive(client, url)
        give_back(client, url, seen[-1:])
    assert len({record["MessageId"] for record in seen}) == 1
    assert len({record["ReceiptHandle"] for record in seen}) == 3
    assert [record["Attributes"]["ApproximateReceiveCount"] for record in seen] == ["1", "2", "3"]


def test_what_is_in_flight_is_given_to_nobody_else(queues: Any) -> None:
    client, url = queues("plain")
    client.send_message(QueueUrl=url, MessageBody="m")
    assert bodies(receive(client, url)) == ["m"]
    assert receive(client, url) == []


def test_a_repeat_of_what_is_in_flight_is_not_delivered(queues: Any) -> None:
    client, url = queues("q.fifo")
    send(client, url, "m", name="same")
    taken = receive(client, url)
    send(client, url, "m", name="same")
    client.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    assert receive(client, url) == []


def test_groups_are_received_side_by_side_each_in_its_order(queues: Any) -> None:
    client, url = queues("q.fifo")
    for body in ("a1", "b1", "a2", "b2"):
        send(client, url, body, body[0])
    found = bodies(receive(client, url))
    assert [body for body in found if body[0] == "a"] == ["a1", "a2"]
    assert [body for body in found if body[0] == "b"] == ["b1", "b2"]


def test_a_receive_counts_for_every_message_of_its_batch(queues: Any) -> None:
    """So what waits behind a record that fails comes nearer to the dead letters without having been tried."""
    client, url = queues("q.fifo")
    for body in ("poison", "innocent"):
        send(client, url, body)
    give_back(client, url, receive(client, url)[::-1])
    assert [r["Attributes"]["ApproximateReceiveCount"] for r in receive(client, url)] == ["2", "2"]


def test_a_message_that_was_received_too_often_moves_to_the_dead_letters_as_it_is(queues: Any) -> None:
    client, dead = queues("dead.fifo")
    client, url = queues("q.fifo", most_receives=2, dead=dead)
    send(client, url, "poison")
    for _ in range(2):
        give_back(client, url, receive(client, url))
    assert receive(client, url) == []
    (letter,) = receive(client, dead)
    assert (letter["Body"], letter["Attributes"]["MessageGroupId"]) == ("poison", "g")


def test_more_than_ten_at_once_are_refused(queues: Any) -> None:
    client, url = queues("plain")
    with pytest.raises((Refused, ClientError)):
        receive(client, url, 11)
    entries = [{"Id": str(index), "ReceiptHandle": "x"} for index in range(11)]
    with pytest.raises((Refused, ClientError)):
        client.delete_message_batch(QueueUrl=url, Entries=entries)


# -- AWS's documentation, where moto differs or takes real time: the stand-in alone


def test_deduplication_outlives_deletion_and_ends_after_five_minutes(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo")
    first = send(sqs, url, "m", name="same")
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receive(sqs, url)[0]["ReceiptHandle"])
    clock.now += 299
    assert send(sqs, url, "m", name="same") == first
    assert receive(sqs, url) == []
    clock.now += 2
    send(sqs, url, "m", name="same")
    assert len(receive(sqs, url)) == 1


def test_deduplication_is_per_group(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo")
    send(sqs, url, "m", "a", "same")
    send(sqs, url, "m", "b", "same")
    assert len(receive(sqs, url)) == 2


def test_the_visibility_timeout_brings_messages_back_in_order(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo", visibility=30)
    for index in range(3):
        send(sqs, url, f"m{index}")
    receive(sqs, url, 2)
    clock.now += 29
    assert receive(sqs, url) == []
    clock.now += 2
    assert bodies(receive(sqs, url)) == ["m0", "m1", "m2"]


def test_an_old_receipt_deletes_nothing(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo", visibility=30)
    send(sqs, url, "m")
    old = receive(sqs, url)[0]["ReceiptHandle"]
    clock.now += 31
    receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=old)
    clock.now += 31
    assert bodies(receive(sqs, url)) == ["m"]


def test_what_was_received_too_often_becomes_a_dead_letter_and_frees_its_group(clock: Clock) -> None:
    sqs = Sqs(clock)
    sqs.create("dead.fifo")
    url = sqs.create("q.fifo", visibility=30, most_receives=2, dead_letters="dead.fifo")
    for body in ("poison", "next"):
        send(sqs, url, body)
    for _ in range(2):
        assert bodies(receive(sqs, url, 1)) == ["poison"]
        clock.now += 31
    assert bodies(receive(sqs, url, 1)) == ["next"]
    assert bodies(receive(sqs, "dead.fifo")) == ["poison"]


def test_a_changed_visibility_counts_from_now(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo", visibility=30)
    send(sqs, url, "m")
    (taken,) = receive(sqs, url)
    clock.now += 20
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=taken["ReceiptHandle"], VisibilityTimeout=60)
    clock.now += 59
    assert receive(sqs, url) == []
    clock.now += 2
    assert bodies(receive(sqs, url)) == ["m"]


def test_a_group_stays_locked_until_nothing_of_it_is_in_flight(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo", visibility=30)
    for index in range(3):
        send(sqs, url, f"m{index}")
    first, second = receive(sqs, url, 2)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=100)
    clock.now += 31
    assert receive(sqs, url) == [], "m0 is back, and m1 is still with somebody"
    assert first["Body"] == "m0"
    clock.now += 70
    assert bodies(receive(sqs, url)) == ["m0", "m1", "m2"]


def test_a_long_poll_ends_with_the_first_message() -> None:
    sqs = Sqs()
    url = sqs.create("plain")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        sqs.send_message(QueueUrl=url, MessageBody="m")
        assert bodies(waiting.result(5)["Messages"]) == ["m"]


def test_what_sqs_would_refuse_is_refused(clock: Clock) -> None:
    sqs = Sqs(clock)
    url = sqs.create("q.fifo")
    with pytest.raises(Refused):
        sqs.send_message(QueueUrl=url, MessageBody="m")
    for body, group, name in (("x" * 1_048_577, "g", "d"), ("", "g", "d"), ("m", "a b", "d"), ("m", "g", "d" * 129)):
        with pytest.raises(Refused):
            send(sqs, url, body, group, name)
    with pytest.raises(Refused):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle="none", VisibilityTimeout=1)
