"""One emulator for all tests here; each test has a secret, queues and tables of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from infra.cloud.emulator import REGION, ROOT
from tests.adapters.aws.chests import Chest, a_chest
from tests.contract import cloud


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> str:
    """What botocore finds by itself: the session's emulator and the account's own key."""
    endpoint = cloud.endpoint()
    for name, value in environment(endpoint).items():
        monkeypatch.setenv(name, value)
    # A credential helper or a profile of this machine must not be asked.
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    # Tries after an error follow at once.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    return endpoint


def environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ROOT,
        "AWS_SECRET_ACCESS_KEY": ROOT,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def chest(aws: str) -> Chest:
    return a_chest()


@dataclass(frozen=True, slots=True)
class Queues:
    """The two queues, their dead letters, and a client to look at them."""

    first: str
    retry: str
    dead: str
    client: Any

    def bodies(self, url: str) -> list[str]:
        """What lies in a queue, taken out."""
        return [message["Body"] for message in self.taken(url)]

    def taken(self, url: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while got := self._take(url):
            found += got
        return found

    def _take(self, url: str) -> list[dict[str, Any]]:
        got = self.client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=0
        ).get("Messages", [])
        for message in got:
            self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return list(got)


@pytest.fixture
def queues(aws: str) -> Queues:
    sqs = boto3.client("sqs")
    name = secrets.token_hex(6)
    urls = [
        sqs.create_queue(QueueName=f"{kind}-{name}")["QueueUrl"]
        for kind in ("first", "retry", "dead")
    ]
    first, retry, dead = urls
    return Queues(first, retry, dead, sqs)
