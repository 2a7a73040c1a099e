"""The one table and its three indexes (keys.md). infra/cloud/data.yaml says the same of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

BY_TIME: Final = "by_time"
BY_ROLL: Final = "by_roll"
BY_KIN: Final = "by_kin"
TTL_ATTRIBUTE: Final = "expires"  # seconds since 1970; rows without it stay


def _index(name: str, partition: str, sort: str | None = None) -> dict[str, Any]:
    """Keys only: an index finds names, and the rows are read consistently from the table."""
    key = [{"AttributeName": partition, "KeyType": "HASH"}]
    if sort is not None:
        key.append({"AttributeName": sort, "KeyType": "RANGE"})
    return {"IndexName": name, "KeySchema": key, "Projection": {"ProjectionType": "KEYS_ONLY"}}


TABLE: Final[dict[str, Any]] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"}
        for name in ("pk", "sk", "bucket", "bucket_at", "roll", "seq", "kin")
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        _index(BY_TIME, "bucket", "bucket_at"),
        _index(BY_ROLL, "roll", "seq"),
        _index(BY_KIN, "kin"),
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
}
"""`CreateTable` without the table's name."""

STREAM_FILTER: Final[dict[str, Any]] = {
    "eventName": ["INSERT"],
    "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "event#"}]}}},
}
"""The pattern by which a Lambda's event source mapping lets only new outbox events through."""


def create_table(client: DynamoDBClient, name: str, *, ttl: bool = True) -> None:
    """Make the table and wait until it can be used. `ttl` has it drop what has expired, in time."""
    client.create_table(TableName=name, **TABLE)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    if ttl:
        client.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
        )
