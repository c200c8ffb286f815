"""The async endpoint at work: jobs to the model, results to S3, notifications to SNS.

While the model's container is down jobs wait, as they do while a real endpoint scales from zero.
Knows nothing of HTTP requests to the endpoint.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable

from botocore.exceptions import ClientError

from scripts.local.endpoint_cloud import EndpointCloud, Stopping
from scripts.local.endpoint_jobs import Job, JobQueue
from scripts.local.endpoint_notifications import notification
from scripts.local.model_container import (
    ContainerDied,
    ContainerDown,
    InstanceMonitor,
    InvalidAnswer,
    InvocationTimedOut,
    ModelAnswer,
    ModelContainer,
)

MAX_ATTEMPTS = 3  # a job whose container died under it this often is what kills the container
_LOGS = "See the SageMaker Endpoint logs in your account for more information."


class EndpointWorker:
    """At most ``concurrency`` invocations at once (MaxConcurrentInvocationsPerInstance), oldest job first."""

    def __init__(
        self,
        jobs: JobQueue,
        container: ModelContainer,
        monitor: InstanceMonitor,
        cloud: EndpointCloud,
        region: str,
        concurrency: int,
    ) -> None:
        self._jobs = jobs
        self._container = container
        self._monitor = monitor
        self._cloud = cloud
        self._region = region
        self._concurrency = concurrency
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the workers and the clock that expires waiting jobs."""
        for _ in range(self._concurrency):
            threading.Thread(target=self._work, daemon=True).start()
        threading.Thread(target=self._expire, daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new; what runs is not waited for: its job stays in the file and runs again."""
        self._stopping.set()
        self._cloud.stop()

    def _work(self) -> None:
        while not self._stopping.is_set():
            if not self._monitor.wait_until_up(0.5):
                continue
            job = self._jobs.take(0.5)
            if job is not None:
                self._attempt_safely(job)

    def _expire(self) -> None:
        while not self._stopping.wait(1.0):
            for job in self._jobs.take_expired():
                self._finish(job, lambda job=job: self._publish_expired(job))  # type: ignore[misc]

    def _attempt_safely(self, job: Job) -> None:
        """Let no defect of one job end a worker thread."""
        try:
            self._attempt(job)
        except Exception:
            traceback.print_exc()
            if job.attempts < MAX_ATTEMPTS:
                self._jobs.put_back(job, counted=True)
            else:
                self._jobs.finish(job)

    def _attempt(self, job: Job) -> None:
        if job.expired:
            self._finish(job, lambda: self._publish_expired(job))
            return
        try:
            self._finish(job, lambda: self._infer(job))
        except ContainerDown:
            self._monitor.seen_down()
            self._jobs.put_back(job, counted=False)
        except ContainerDied as error:
            if job.attempts < MAX_ATTEMPTS:
                self._jobs.put_back(job, counted=True)
            else:
                reason = f"InternalServerError: the container died {job.attempts} times under this: {error}"
                self._finish(job, lambda: self._fail(job, reason, None))

    def _finish(self, job: Job, publish_outcome: Callable[[], None]) -> None:
        """Run what publishes the job's outcome, then forget the job; after a crash it runs again."""
        try:
            publish_outcome()
        except Stopping:
            return
        except ClientError:
            # the cloud refuses for good: as on AWS the notification is lost, and the sweep must find out
            traceback.print_exc()
        self._jobs.finish(job)

    def _infer(self, job: Job) -> None:
        try:
            body = (
                job.request.body
                if job.request.body is not None
                else self._cloud.read_input(job.request.input_location or "")
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            self._fail(job, f"ClientError: Unable to download input from {job.request.input_location}: {code}", None)
            return
        try:
            answer = self._container.invoke(job.request, body)
        except InvocationTimedOut:
            seconds = job.request.timeout_seconds
            self._fail(job, f"ClientError: Model did not respond within {seconds} seconds. {_LOGS}", None)
        except InvalidAnswer as error:
            self._fail(job, f"ClientError: {error}", None)
        else:
            self._publish_answer(job, answer)

    def _publish_answer(self, job: Job, answer: ModelAnswer) -> None:
        if not 200 <= answer.status < 300:
            kind = "client" if answer.status < 500 else "server"
            self._fail(job, f"ClientError: Received {kind} error ({answer.status}) from model. {_LOGS}", answer)
            return
        location = self._cloud.output_location(job.request.output_name)
        self._cloud.write(location, answer.body, answer.content_type)
        message = notification(
            job,
            self._region,
            "Completed",
            content=answer.body,
            content_type=answer.content_type,
            output_location=location,
        )
        self._cloud.publish(message, success=True)

    def _fail(self, job: Job, reason: str, answer: ModelAnswer | None) -> None:
        location = self._cloud.failure_location(job.request.failure_name)
        body = answer.body if answer else json.dumps({"message": reason}).encode()
        self._cloud.write(location, body, answer.content_type if answer else "application/json")
        message = notification(
            job,
            self._region,
            "Failed",
            content=answer.body if answer else None,
            content_type=answer.content_type if answer else None,
            failure_location=location,
            failure_reason=reason,
        )
        self._cloud.publish(message, success=False)

    def _publish_expired(self, job: Job) -> None:
        reason = f"RequestTTLSeconds: the request waited longer than {job.request.ttl_seconds} seconds"
        self._cloud.publish(notification(job, self._region, "Expired", failure_reason=reason), success=False)
