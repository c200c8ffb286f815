"""SQS events into stages, a record at a time, with what failed reported back so that only that comes again.

On a FIFO queue nothing behind a failed record of its group is handled: the order is a promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from chalicelib.tracing import tracing
from chalicelib.wiring import wiring
from parley.aws.failures import AWS_FAILURES
from parley.errors import ChannelBusy
from parley.stages.giving_up import give_up_delivery, give_up_message, give_up_result
from parley.stages.inbox_to_model import think
from parley.stages.model_to_outbox import reply
from parley.stages.outbox_to_channel import deliver
from parley.stages.overdue_turns import sweep
from parley.stages.running_costs import meter
from parley.stages.waking_notice import tell_waking

SWEEP_SECONDS = 60.0
"""How often the schedule in app.py comes."""


def inbox(event: Any) -> Any:
    """think() for each record."""

    def give_up(record: SQSRecord, error: Exception) -> None:
        give_up_message(record.message_id, record.body, type(error).__name__, time.time(), wiring())

    return _each("think", event, True, lambda r: think(r.message_id, r.body, time.time(), wiring()), give_up)


def replies(event: Any) -> Any:
    """reply() for each record; the queue has no order, so one failure holds up no other record."""

    def give_up(record: SQSRecord, error: Exception) -> None:
        give_up_result(record.message_id, record.body, type(error).__name__, time.time(), wiring())

    return _each("reply", event, False, lambda r: reply(r.message_id, r.body, time.time(), wiring()), give_up)


def outbox(event: Any) -> Any:
    """deliver() for each record; a channel that asks for patience gets it through the visibility timeout.

    One that goes on asking has its answer left to the sweep, so that what waits behind it is tried as well.
    """

    def handle(record: SQSRecord) -> None:
        try:
            deliver(record.body, time.time(), wiring())
        except ChannelBusy as busy:
            wiring().telemetry.count("ChannelBusy")
            try:
                wiring().outbox.delay(record.receipt_handle, busy.retry_after)
            except Exception as error:  # then it comes when its visibility timeout is over; the channel is what failed
                wiring().telemetry.failure("record not delayed", error)
            raise

    def give_up(record: SQSRecord, error: Exception) -> None:
        # Where AWS fails, the answer is as good as before, and busy times may have used its tries up.
        if not isinstance(error, (ChannelBusy, *AWS_FAILURES)):
            give_up_delivery(record.message_id, record.body, type(error).__name__, time.time(), wiring())
        elif _tries(record) < wiring().patience.busy:
            raise error

    return _each("deliver", event, True, handle, give_up)


def schedule(event: Any) -> None:
    """sweep(), once."""
    with wiring().telemetry.invocation("sweep", event.context):
        try:
            meter(SWEEP_SECONDS, time.time(), wiring())
        finally:  # what cannot be counted must not keep users waiting
            sweep(f"sweep {event.to_dict().get('id', '')}", time.time(), wiring())
        tell_waking(time.time(), wiring())


def _each(
    stage: str,
    event: Any,
    fifo: bool,
    handle: Callable[[SQSRecord], None],
    give_up: Callable[[SQSRecord, Exception], None],
) -> Any:
    """The ids of the records that failed and come again, as Lambda expects them; at its last try one is given up."""
    telemetry = wiring().telemetry

    def handle_and_tell(record: SQSRecord) -> None:
        try:
            handle(record)
        except Exception as error:
            telemetry.count("RecordsFailed")
            telemetry.failure("record failed", error)
            if _tries(record) < wiring().patience.records:
                raise
            give_up(record, error)
            telemetry.count("RecordsGivenUp")
            telemetry.warn("record given up", tries=_tries(record), reason=type(error).__name__)

    # What fails is told by `failure`; the processor's own logger would add the exception's text.
    processor = SqsFifoPartialProcessor(skip_group_on_error=True) if fifo else BatchProcessor(EventType.SQS)
    processor.raise_on_entire_batch_failure = False
    with telemetry.invocation(stage, event.context), tracing(stage):
        return process_partial_response(
            event=event.to_dict(), record_handler=handle_and_tell, processor=processor, context=event.context
        )


def _tries(record: SQSRecord) -> int:
    """How often the record was received, this time included. In a group, what waits behind a failure counts along."""
    return int(record.attributes.approximate_receive_count)
