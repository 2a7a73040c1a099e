"""Counters that many processes share: one atomic UpdateItem a hit, in a table of their own.

The table has no stream and no backup: an item is a keyed hash of a network, under the key of a day,
and goes by TTL soon after its window has ended (attribute `expires`, seconds since 1970).

A window is a slice of time, the same for every process, and its number is part of the item's name:
so one ADD counts, and nothing has to be read or reset. Each key's slices begin at an offset of its
own, or every limit would start anew on the same second.

When the table does not answer, the request is refused (503) and not let through. Letting through is
what an attacker would work for: writes of one network all go to one item, DynamoDB refuses them
beyond a thousand a second, and that network alone would then be free of its limit. Refused by
that very item, nobody else is touched. A device that was refused asks again with the same
Idempotency-Key. (Flask-Limiter's own in-memory fallback let everything through when tried.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn
from zlib import crc32

from botocore.exceptions import BotoCoreError, ClientError
from limits.storage import Storage

from app.adapters.aws import client, code_of
from app.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

SCHEME: Final = "report-remove-dynamodb"
TTL_ATTRIBUTE: Final = "expires"
_LINGER: Final = 60  # seconds: clocks differ
TABLE: Final[dict[str, Any]] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}
"""`CreateTable` without the table's name; infra/cloud/data.yaml says the same of AWS."""


class DynamoWindows(Storage):
    """Fixed windows in the table that the address names: `report-remove-dynamodb://TABLE`.

    Every method raises StoreUnavailable if the table does not answer.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - the name limits finds it by

    def __init__(
        self,
        uri: str,
        dynamodb: DynamoDBClient | None = None,
        clock: Callable[[], float] = time.time,
        **_: Any,
    ) -> None:
        super().__init__(uri)
        self._table = uri.partition("://")[2]
        self._client: DynamoDBClient = dynamodb or client("dynamodb")
        self._clock = clock
        self._expiries: dict[str, int] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return StoreUnavailable

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and say how many there are now in the window of `expiry` seconds."""
        ends, item = self._window(key, expiry)
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=item,
                UpdateExpression="ADD hits :amount SET #ttl = :ttl",
                ExpressionAttributeNames={"#ttl": TTL_ATTRIBUTE},
                ExpressionAttributeValues={
                    ":amount": {"N": str(amount)},
                    ":ttl": {"N": str(ends + _LINGER)},
                },
                ReturnValues="UPDATED_NEW",
            )
        except (ClientError, BotoCoreError) as fault:
            _refuse(fault)
        return int(answer["Attributes"]["hits"]["N"])

    def get(self, key: str) -> int:
        """How many there are in the window of a key that was counted here."""
        expiry = self._expiries.get(key)
        if expiry is None:
            return 0
        _, item = self._window(key, expiry)
        try:
            found = self._client.get_item(TableName=self._table, Key=item, ConsistentRead=True)
        except (ClientError, BotoCoreError) as fault:
            _refuse(fault)
        return int(found.get("Item", {}).get("hits", {}).get("N", 0))

    def get_expiry(self, key: str) -> float:
        """When the window ends of a key that was counted here, seconds since 1970. Asks nobody."""
        expiry = self._expiries.get(key)
        return self._clock() if expiry is None else float(self._window(key, expiry)[0])

    def check(self) -> bool:
        """Whether the table answers."""
        try:
            self._client.describe_table(TableName=self._table)
        except (ClientError, BotoCoreError):
            return False
        return True

    def reset(self) -> int | None:
        """Not offered: it would take a scan, and windows end by themselves."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Forget the window of a key that was counted here."""
        _, item = self._window(key, self._expiries.get(key, 1))
        try:
            self._client.delete_item(TableName=self._table, Key=item)
        except (ClientError, BotoCoreError) as fault:
            _refuse(fault)

    def _window(self, key: str, expiry: int) -> tuple[int, dict[str, Any]]:
        """When the window of now ends, and the key of its item."""
        self._remember(key, expiry)
        offset = crc32(key.encode()) % expiry
        number = (int(self._clock()) + offset) // expiry
        return (number + 1) * expiry - offset, {"id": {"S": f"{key}/{number}"}}

    def _remember(self, key: str, expiry: int) -> None:
        """For `get_expiry`, which is told no expiry. Forgotten when there are many."""
        if key not in self._expiries and len(self._expiries) >= 10_000:
            self._expiries.clear()
        self._expiries[key] = expiry


def _refuse(fault: Exception) -> NoReturn:
    raise StoreUnavailable(f"the counters: {code_of(fault)}") from None
