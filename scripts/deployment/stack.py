"""One CloudFormation stack: plan a change, make it, watch it, undo it. Knows nothing of what is in it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scripts.deployment.failures import BadStack, ChangeFailed

PAUSE_SECONDS = 5.0
NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")

STUCK = {
    "ROLLBACK_FAILED": "remove it with scripts/destroy, then deploy again",
    "DELETE_FAILED": "remove it with scripts/destroy, then deploy again",
    "UPDATE_ROLLBACK_FAILED": "run 'aws cloudformation continue-update-rollback --stack-name {stack}' first",
}


@dataclass(frozen=True)
class Change:
    """One resource that a change touches: Add, Modify or Remove; `replaced` when it is made anew."""

    action: str
    resource: str
    type: str
    replaced: bool


@dataclass(frozen=True)
class Plan:
    """A change set; without changes there is nothing to do."""

    id: str
    changes: tuple[Change, ...]


class Stack:
    """A stack by its name. `say` hears of every event, `pause` sleeps between two looks."""

    def __init__(
        self,
        session: boto3.Session,
        name: str,
        say: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._client = session.client("cloudformation")
        self._say = say
        self._pause = pause

    def describe(self) -> Mapping[str, Any] | None:
        """The stack as CloudFormation describes it; None when there is none."""
        try:
            (found,) = self._client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    def outputs(self) -> dict[str, str]:
        """What the stack tells about itself; empty when there is none."""
        found = self.describe() or {}
        return {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs") or []}

    def parameters(self) -> dict[str, str]:
        """The values that the stack has now; empty when there is none."""
        found = self.describe() or {}
        return {entry["ParameterKey"]: entry["ParameterValue"] for entry in found.get("Parameters") or []}

    def check(self) -> None:
        """Raise BadStack where no change can be made now."""
        status = (self.describe() or {}).get("StackStatus", "")
        if status in STUCK:
            raise BadStack(f"stack {self.name} is in {status}: {STUCK[status].format(stack=self.name)}")
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise BadStack(f"stack {self.name} is in {status}: another deployment is running; wait for its end")

    def plan(self, template_url: str | None, parameters: Mapping[str, str]) -> Plan:
        """What would change. Without an address the template stays what it is. Parameters that are not given keep their
        values. Raises BadStack."""
        self.check()
        stack = self.describe()
        if stack is None and template_url is None:
            raise BadStack(f"there is no stack {self.name}; make it with scripts/deploy")
        template = {"UsePreviousTemplate": True} if template_url is None else {"TemplateURL": template_url}
        if stack is not None and stack["StackStatus"] in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
            self._say("removing what is left of a first deployment that did not get far")
            self.delete()
            stack = None
        name = f"parley-{secrets.token_hex(6)}"
        try:
            made = self._client.create_change_set(
                StackName=self.name, ChangeSetName=name, ChangeSetType="CREATE" if stack is None else "UPDATE",
                Capabilities=["CAPABILITY_IAM"], Parameters=self._parameters(template_url, parameters), **template,
            )  # fmt: skip
        except ClientError as error:
            raise BadStack(f"CloudFormation refused the change: {' '.join(str(error).split())[:300]}") from None
        described = self._wait_for_plan(made["Id"])
        reason = str(described.get("StatusReason") or "")
        if described["Status"] == "FAILED":
            self.discard(Plan(made["Id"], ()))
            if any(text in reason for text in NOTHING_TO_DO):
                return Plan("", ())
            raise BadStack(f"CloudFormation refused the change: {reason[:300]}")
        return Plan(made["Id"], tuple(self._changes(made["Id"])))

    def discard(self, plan: Plan) -> None:
        """Forget a plan; a stack that only it had made goes with it."""
        self._client.delete_change_set(ChangeSetName=plan.id, StackName=self.name)
        stack = self.describe()
        if stack is not None and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            self._client.delete_stack(StackName=self.name)

    def execute(self, plan: Plan) -> None:
        """Make the change, telling of each event. Raises ChangeFailed when CloudFormation undid it."""
        seen = {event["EventId"] for event in self._events()}
        try:
            self._client.execute_change_set(ChangeSetName=plan.id, StackName=self.name)
        except ClientError as error:
            raise ChangeFailed(f"stack {self.name}: {' '.join(str(error).split())[:300]}") from None
        self._follow(seen, good=("CREATE_COMPLETE", "UPDATE_COMPLETE"))

    def delete(self) -> None:
        """Delete the stack and what it does not retain. Raises ChangeFailed."""
        seen = {event["EventId"] for event in self._events()}
        self._client.delete_stack(StackName=self.name)
        self._follow(seen, good=("DELETE_COMPLETE",))

    def drift(self) -> list[str]:
        """The resources that somebody changed behind the stack's back: `name (type): MODIFIED or DELETED`."""
        detection = self._client.detect_stack_drift(StackName=self.name)["StackDriftDetectionId"]
        while True:
            found = self._client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
            if found["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                break
            self._pause(PAUSE_SECONDS)
        drifts = self._client.describe_stack_resource_drifts(
            StackName=self.name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )["StackResourceDrifts"]
        return [f"{d['LogicalResourceId']} ({d['ResourceType']}): {d['StackResourceDriftStatus']}" for d in drifts]

    def _parameters(self, url: str | None, given: Mapping[str, str]) -> list[dict[str, Any]]:
        which = {"StackName": self.name} if url is None else {"TemplateURL": url}
        known = {p["ParameterKey"] for p in self._client.get_template_summary(**which)["Parameters"]}
        if strange := sorted(given.keys() - known):
            raise BadStack(f"the template has no parameter {strange[0]}; it has {', '.join(sorted(known))}")
        values = {name: value for name, value in self.parameters().items() if name in known} | dict(given)
        return [{"ParameterKey": name, "ParameterValue": value} for name, value in sorted(values.items())]

    def _wait_for_plan(self, id: str) -> Mapping[str, Any]:
        while True:
            found: Mapping[str, Any] = self._client.describe_change_set(ChangeSetName=id, StackName=self.name)
            if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                return found
            self._pause(PAUSE_SECONDS)

    def _changes(self, id: str) -> Iterator[Change]:
        more: dict[str, str] = {}
        while True:
            page = self._client.describe_change_set(ChangeSetName=id, StackName=self.name, **more)
            for entry in page["Changes"]:
                change = entry["ResourceChange"]
                replaced = change.get("Replacement") == "True"
                yield Change(change["Action"], change["LogicalResourceId"], change["ResourceType"], replaced)
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _events(self) -> list[Mapping[str, Any]]:
        """The stack's newest events, the oldest first."""
        try:
            found = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        except ClientError:
            return []
        return list(reversed(found))

    def _follow(self, seen: set[str], good: tuple[str, ...]) -> None:
        """Tell of new events until the stack rests. Raises ChangeFailed when it does not rest well."""
        failure = ""
        while True:
            for event in self._events():
                if event["EventId"] in seen:
                    continue
                seen.add(event["EventId"])
                status, name = event["ResourceStatus"], event["LogicalResourceId"]
                self._say(f"{status.lower().replace('_', ' '):<28} {name}")
                reason = str(event.get("ResourceStatusReason") or "")
                if status.endswith("_FAILED") and not failure and "cancelled" not in reason:
                    failure = f"{name}: {reason or status}"
            status = (self.describe() or {"StackStatus": "DELETE_COMPLETE"})["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                if status not in good:
                    raise ChangeFailed(f"stack {self.name} is in {status}: {failure or 'see its events'}"[:400])
                return
            self._pause(PAUSE_SECONDS)
