"""Brings the stacks of one service up, shows them, takes them down: on AWS and the emulator alike.

Four stacks, in this order: NAME-data, NAME-queues, NAME-service, NAME-alarms. Each is created, or
updated to what its template says; the zip of the functions is uploaded between the first and the
third. Taking down never touches NAME-data: there is the table, and the keys to read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.cloud.package import Package

TEMPLATES = Path(__file__).parent
STACKS = ("data", "queues", "service", "alarms")
KEPT = "data"
PATIENCE = 1800.0  # seconds for one stack
UNSET = "https://unset.invalid"
NOTHING_TO_DO = "No updates are to be performed"

Tell = Callable[[str], None]


class DeployFailed(Exception):
    """A stack did not come up or go down; the message names the resource and the reason."""


class NothingToDo(DeployFailed):
    """A stack is already what it was asked to become."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stacks are: a region of AWS, or an emulator. Credentials are found by boto3."""

    region: str | None = None
    endpoint: str | None = None

    @property
    def is_emulated(self) -> bool:
        """Whether it is not AWS."""
        return self.endpoint is not None

    def address(self, url: str) -> str:
        """Where that function URL is reached: an emulator has no names of its own."""
        if self.endpoint is None:
            return url.rstrip("/")
        return f"{self.endpoint}/_aws/lambda-url/{urlsplit(url).netloc.split('.')[0]}"

    def client(self, service: str) -> Any:
        """A client of that service, there."""
        config = Config(retries={"mode": "standard", "max_attempts": 8})
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=self.region,
            endpoint_url=self.endpoint,
            config=config,
        )


@dataclass(frozen=True, slots=True)
class Deployed:
    """One stack as it stands."""

    part: str
    name: str
    status: str
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cloud:
    """The stacks of the service called `name`."""

    name: str
    place: Place
    tell: Tell

    def check(self, chosen: Mapping[str, str]) -> None:
        """Raise DeployFailed for a parameter that no template has, or if there is no answer."""
        with _about(self.name):
            known = {name for part in STACKS for name in self._parameters(part)}
        known -= {*self._given(), "CodeKey"}
        unknown = sorted(set(chosen) - known)
        if unknown:
            ours = ", ".join(sorted(known))
            raise DeployFailed(f"{unknown[0]} is not to be chosen; these are: {ours}")

    def issuers(self) -> str:
        """Where the functions look for their trusted issuers now; '' if they have none."""
        with _about(self.name):
            there = self._find("service") is not None
            return self._old_parameters("service").get("AgeIssuersFile", "") if there else ""

    def up(self, package: Package | None, chosen: Mapping[str, str]) -> dict[str, str]:
        """Bring all up and give all their outputs. `chosen` are parameters of any template.

        Without a package the functions keep the code they have. Raises DeployFailed.
        """
        self.check(chosen)
        with _about(self.name):
            outputs: dict[str, str] = {}
            for part in STACKS:
                more = self._code(package, outputs) if part == "service" else {}
                outputs |= self._bring_up(part, {**chosen, **more})
            if outputs["PublicUrl"] == UNSET:
                if "FunctionUrl" not in outputs:
                    raise DeployFailed("without a function URL, PublicUrl must be chosen")
                self.tell("No PublicUrl was chosen: the functions are told their own address.")
                own = self.place.address(outputs["FunctionUrl"])
                outputs |= self._bring_up("service", {"PublicUrl": own})
        return outputs

    def down(self) -> list[str]:
        """Delete all but the data stack, last first; gives what is kept. Raises DeployFailed."""
        with _about(self.name):
            for part in reversed(STACKS):
                if part != KEPT and self._find(part) is not None:
                    self._delete(part)
            return self._resources(KEPT) if self._find(KEPT) else []

    def status(self) -> list[Deployed]:
        """The stacks that exist."""
        with _about(self.name):
            found = [self._find(part) for part in STACKS]
        return [stack for stack in found if stack is not None]

    def _code(self, package: Package | None, outputs: Mapping[str, str]) -> dict[str, str]:
        if package is None:
            return {}
        key = f"functions/{package.sha256}.zip"
        with _about("the upload of the code"), package.file.open("rb") as content:
            self.place.client("s3").put_object(Bucket=outputs["CodeBucket"], Key=key, Body=content)
        self.tell(f"code      uploaded, {package.zipped / 2**20:.1f} MB")
        return {"CodeKey": key}

    def _bring_up(self, part: str, chosen: Mapping[str, str]) -> dict[str, str]:
        began = time.monotonic()
        before = self._find(part)
        if before is not None and before.status in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
            self._delete(part)  # its creation failed: it holds nothing, and cannot be updated
            before = None
        try:
            change = self._change(part, chosen, before)
        except NothingToDo:
            change = "unchanged"
        else:
            self._wait(part, f"{change}_COMPLETE")
        stack = self._find(part)
        if stack is None:
            raise DeployFailed(f"{self._stack(part)}: it is gone")
        self.tell(f"{part:9} {change.lower()} ({time.monotonic() - began:.1f} s)")
        return dict(stack.outputs)

    def _change(self, part: str, chosen: Mapping[str, str], before: Deployed | None) -> str:
        """Ask for it; CREATE or UPDATE, as AWS calls it. Raises NothingToDo, DeployFailed."""
        asked: dict[str, Any] = {
            "StackName": self._stack(part),
            "TemplateBody": _template(part),
            "Parameters": self._arguments(part, chosen, before),
            "Capabilities": ["CAPABILITY_IAM"],
            "Tags": [{"Key": "service", "Value": self.name}],
        }
        formation = self.place.client("cloudformation")
        with _about(self._stack(part)):
            if before is None:
                formation.create_stack(**asked)
                return "CREATE"
            formation.update_stack(**asked)
            return "UPDATE"

    def _arguments(
        self, part: str, chosen: Mapping[str, str], before: Deployed | None
    ) -> list[dict[str, Any]]:
        """What was chosen; what was chosen before stays; else the template's own default."""
        known = self._parameters(part)
        old = self._old_parameters(part) if before else {}
        arguments: list[dict[str, Any]] = []
        for name in known:
            value = {**chosen, **self._given()}.get(name)
            if value is not None:
                arguments.append({"ParameterKey": name, "ParameterValue": value})
            elif name in old:
                arguments.append({"ParameterKey": name, "UsePreviousValue": True})
        return arguments

    def _given(self) -> dict[str, str]:
        return {"Name": self.name, "Emulated": "yes" if self.place.is_emulated else "no"}

    def _parameters(self, part: str) -> list[str]:
        formation = self.place.client("cloudformation")
        with _about(f"{part}.yaml"):
            found = formation.get_template_summary(TemplateBody=_template(part))
        return [each["ParameterKey"] for each in found.get("Parameters", [])]

    def _old_parameters(self, part: str) -> dict[str, str]:
        found = self.place.client("cloudformation").describe_stacks(StackName=self._stack(part))
        held = found["Stacks"][0].get("Parameters", [])
        return {each["ParameterKey"]: each["ParameterValue"] for each in held}

    def _delete(self, part: str) -> None:
        began = time.monotonic()
        with _about(self._stack(part)):
            self.place.client("cloudformation").delete_stack(StackName=self._stack(part))
        self._wait(part, "DELETE_COMPLETE")
        self.tell(f"{part:9} deleted ({time.monotonic() - began:.1f} s)")

    def _wait(self, part: str, wanted: str) -> None:
        until = time.monotonic() + PATIENCE
        pause = 0.1 if self.place.is_emulated else 5.0
        while time.monotonic() < until:
            stack = self._find(part)
            status = stack.status if stack else "DELETE_COMPLETE"
            if status == wanted:
                return
            if not status.endswith("_IN_PROGRESS"):
                raise DeployFailed(self._why(part, status))
            time.sleep(pause)
        raise DeployFailed(f"{self._stack(part)}: not done in {PATIENCE:.0f} s")

    def _why(self, part: str, status: str) -> str:
        """The first resource that failed and what AWS says of it: the rest failed because of it."""
        lines = [f"{self._stack(part)}: {status}"]
        for event in self._events(part):
            said = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in said:
                what = f"{event['LogicalResourceId']} ({event.get('ResourceType', '')})"
                lines.append(f"  {what}: {said or event['ResourceStatus']}")
                break
        return "\n".join(lines)

    def _events(self, part: str) -> list[dict[str, Any]]:
        """Of the last change, oldest first."""
        pages = self.place.client("cloudformation").get_paginator("describe_stack_events")
        latest: list[dict[str, Any]] = []
        with _about(self._stack(part)):
            for page in pages.paginate(StackName=self._stack(part)):
                for event in page["StackEvents"]:
                    latest.append(event)
                    if _begins_a_change(event):
                        return latest[::-1]
        return latest[::-1]

    def _resources(self, part: str) -> list[str]:
        found = self.place.client("cloudformation").describe_stack_resources(
            StackName=self._stack(part)
        )
        return [
            f"{each['ResourceType']} {each['PhysicalResourceId']}"
            for each in found["StackResources"]
            if each.get("PhysicalResourceId")
        ]

    def _find(self, part: str) -> Deployed | None:
        name = self._stack(part)
        try:
            with _about(name, but="ValidationError"):
                found = self.place.client("cloudformation").describe_stacks(StackName=name)
        except ClientError:
            return None
        stack = found["Stacks"][0]
        if stack["StackStatus"] == "DELETE_COMPLETE":
            return None
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        return Deployed(part, name, stack["StackStatus"], outputs)

    def _stack(self, part: str) -> str:
        return f"{self.name}-{part}"


def _template(part: str) -> str:
    return (TEMPLATES / f"{part}.yaml").read_text()


def _begins_a_change(event: Mapping[str, Any]) -> bool:
    starts = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
    is_stack = event.get("ResourceType") == "AWS::CloudFormation::Stack"
    return is_stack and event["ResourceStatus"] in starts


@contextmanager
def _about(what: str, *, but: str = "") -> Iterator[None]:
    """AWS's refusals as DeployFailed that says what they were about; `but` that code."""
    try:
        yield
    except ClientError as fault:
        code = fault.response["Error"]["Code"]
        said = fault.response["Error"].get("Message", "")
        if code == but:
            raise
        if NOTHING_TO_DO in said:
            raise NothingToDo(f"{what}: nothing to do") from None
        raise DeployFailed(f"{what}: {code}: {said}") from None
    except BotoCoreError as fault:
        raise DeployFailed(f"{what}: {fault}") from None


def lines(stacks: Sequence[Deployed]) -> Iterator[str]:
    """The stacks for a person."""
    for stack in stacks:
        yield f"{stack.name:28} {stack.status}"
        for key, value in sorted(stack.outputs.items()):
            yield f"    {key:24} {value}"
