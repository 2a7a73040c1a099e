"""The functions over an emulator: table, stream and queues are real, the calls made here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.adapters.dynamodb.schema import create_table
from app.adapters.dynamodb_limits import TABLE
from app.bootstrap import Foundation, foundation
from app.functions import api, purge, relay, sender, sweeper
from app.settings import PREFIX, Settings
from partners.model import PartnerId
from tests.adapters.aws.chests import a_chest, a_client
from tests.adapters.aws.conftest import environment
from tests.app.services.world import trust
from tests.app.web.running import GENEROUS
from tests.contract import cloud

BUILT = (api._application, relay._relay, sender._sending, sweeper._sweeper, purge._services)


@dataclass
class Context:
    """What Lambda hands to a function beside the event."""

    milliseconds: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Cloud:
    """The stack, and Lambda's part: events are brought to the functions, what failed again."""

    env: dict[str, str]
    table: str
    first: str
    retry: str
    dead: str
    sqs: Any = field(default_factory=lambda: a_client("sqs"))
    streams: Any = field(default_factory=lambda: a_client("dynamodbstreams"))
    dynamodb: Any = field(default_factory=lambda: a_client("dynamodb"))

    def operator(self) -> Foundation:
        """The use cases, as the command line has them."""
        return foundation(Settings.from_env(self.env))

    def add_platform(self, url: str) -> dict[str, Any]:
        base = self.operator()
        add = base.services.manage_partners.add
        made = add("Alpha", url, "v1", "uk-osa-48h", None, takes_location=False)
        trust(base.store, PartnerId(str(made["partner_id"])))
        return dict(made)

    def asked(
        self,
        method: str,
        path: str,
        body: Any = None,
        address: str = "203.0.113.9",
        key: str | None = None,
    ) -> Any:
        """A request by a function URL: status and JSON body. A 503 says when to ask again."""
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {
                "host": "remove.example.org",
                "content-type": "application/json",
                "idempotency-key": key or secrets.token_urlsafe(24),
            },
            "requestContext": {
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": address,
                },
                "domainName": "remove.example.org",
            },
            "body": json.dumps(body) if body is not None else "",
            "isBase64Encoded": False,
        }
        answer = api.handler(event, Context())
        if answer["statusCode"] == 503:
            headers = {name.lower(): said for name, said in answer["headers"].items()}
            assert int(headers["retry-after"]) > 0
        text = answer.get("body") or "null"
        return answer["statusCode"], json.loads(text) if text[0] in "{[n" else text

    def records(self) -> list[dict[str, Any]]:
        """Everything that the stream has held so far, oldest first."""
        arn = self.dynamodb.describe_table(TableName=self.table)["Table"]["LatestStreamArn"]
        shards = self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        found: list[dict[str, Any]] = []
        for shard in shards:
            iterator = self.streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                page = self.streams.get_records(ShardIterator=iterator)
                if not page["Records"]:
                    break
                found += page["Records"]
                iterator = page.get("NextShardIterator")
        return found

    def relay(self, records: Sequence[dict[str, Any]] | None = None) -> list[str]:
        """Bring the stream to the relay; the places from which it wants it again."""
        brought = self.records() if records is None else records
        return _failed(relay.handler({"Records": brought}, Context()))

    def take(self, url: str, at_most: int = 10) -> list[dict[str, Any]]:
        """Messages of a queue as Lambda takes them: hidden for a while, and in its spelling."""
        got = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=at_most, VisibilityTimeout=0
        ).get("Messages", [])
        return [
            {"messageId": m["MessageId"], "body": m["Body"], "receiptHandle": m["ReceiptHandle"]}
            for m in got
        ]

    def bring(self, records: Sequence[dict[str, Any]]) -> list[str]:
        """Bring a batch to the sender; the ids that are to come again."""
        return _failed(sender.handler({"Records": records}, Context()))

    def send(self, url: str, records: Sequence[dict[str, Any]] | None = None) -> list[str]:
        """The same with a queue's, and delete what was dealt with."""
        brought = self.take(url) if records is None else records
        failed = self.bring(brought)
        for record in brought:
            if record["messageId"] not in failed:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=record["receiptHandle"])
        return failed

    def sweep(self) -> None:
        sweeper.handler({}, Context())

    def new_sandboxes(self) -> None:
        """As if every function had started cold."""
        for built in BUILT:
            built.cache_clear()


def _failed(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A stack of its own for each test."""
    name = f"rr-{secrets.token_hex(6)}"
    dynamodb, sqs = a_client("dynamodb"), a_client("sqs")
    create_table(dynamodb, name, ttl=False)
    dynamodb.create_table(TableName=f"{name}-limits", **TABLE)
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 3})
    queues = [
        sqs.create_queue(QueueName=f"{name}-{kind}", Attributes={"RedrivePolicy": redrive})
        for kind in ("first", "retry")
    ]
    first, retry = (queue["QueueUrl"] for queue in queues)
    chest = a_chest()
    chosen = {
        "ENVIRONMENT": "development",
        "ALLOW_LOOPBACK_PARTNERS": "yes",
        "AGE_PROFILES": "declared-v1",
        "PUBLIC_URL": "https://remove.example.org",
        "DATA_DIR": str(tmp_path / "var"),
        "STORE": "dynamodb",
        "KEYS": "kms",
        "LIMITS": "dynamodb",
        "TABLE": name,
        "LIMITS_TABLE": f"{name}-limits",
        "KEYS_SECRET": chest.chest.secret,
        "KMS_KEY": chest.kms_key,
        "FIRST_QUEUE": first,
        "RETRY_QUEUE": retry,
        "LIMIT_CASE": GENEROUS,
        "LIMIT_DECLARED": GENEROUS,
    }
    env = {PREFIX + key: value for key, value in chosen.items()}
    for key, value in {**env, **environment(cloud.endpoint())}.items():
        monkeypatch.setenv(key, value)
    made = Cloud(env, name, first, retry, dead)
    made.new_sandboxes()
    yield made
    made.new_sandboxes()
