"""One table, asked patiently: what passes is tried again, and pages are read to their end.

A call is repeated after throttling, a server's error, a lost answer or a conflict of transactions,
with growing random pauses (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-
with-jitter/), until the patience is used up. Every error leaves as StoreUnavailable, except a
condition that did not hold, which is the writer's to read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from app.adapters.aws import code_of
from app.adapters.dynamodb.keys import NOBODY, Key
from app.adapters.dynamodb.rows import Row, key_of, key_row
from app.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

T = TypeVar("T")

REFUSED: Final = "ConditionalCheckFailedException"
CANCELLED: Final = "TransactionCanceledException"
CONDITION: Final = "ConditionalCheckFailed"  # the same within a cancelled transaction

_PASSING: Final = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_PASSING_REASONS: Final = frozenset(
    {"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)
_GET_AT_ONCE: Final = 100
_WRITE_AT_ONCE: Final = 25
_FIRST_PAUSE: Final = 0.02  # seconds
_LONGEST_PAUSE: Final = 1.0
_SERVER_ERROR: Final = 500


def reasons_of(error: ClientError) -> list[dict[str, Any]]:
    """Why each action of a cancelled transaction was refused, in their order."""
    response: Any = error.response
    return list(response.get("CancellationReasons", ()))


def chunks(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The things, so many at a time."""
    for start in range(0, len(things), size):
        yield things[start : start + size]


class Table:
    """A table of that name. Safe from any thread. `patience` is in seconds, for one call."""

    def __init__(self, client: DynamoDBClient, name: str, patience: float) -> None:
        self.name = name
        self._client = client
        self._patience = patience
        self._closed = False

    def close(self) -> None:
        """What is asked from now on is StoreUnavailable."""
        self._closed = True

    def call(self, operation: str, **parameters: Any) -> Any:
        """The answer to one call on the client, such as `put_item`.

        Raises ClientError for a condition that did not hold, else StoreUnavailable.
        """
        wait = _Wait(self._patience)
        while True:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            try:
                return getattr(self._client, operation)(**parameters)
            except ClientError as error:
                if not _passes(error):
                    if code_of(error) in (REFUSED, CANCELLED):
                        raise
                    raise _unavailable(error) from error
                wait.again(error)
            except (HTTPClientError, NoConnection) as error:
                wait.again(error)
            except BotoCoreError as error:
                raise _unavailable(error) from error

    def on_table(self, operation: str, **parameters: Any) -> Any:
        """As `call`, of an operation that takes the table's name."""
        return self.call(operation, TableName=self.name, **parameters)

    def get(self, key: Key) -> Row | None:
        """A row as it is now, or None."""
        found: dict[str, Row] = self.on_table("get_item", Key=key_row(key), ConsistentRead=True)
        return found.get("Item")

    def get_all(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """The rows with these keys, as they are now; unknown keys are left out."""
        found: dict[Key, Row] = {}
        for some in chunks([key_row(key) for key in dict.fromkeys(keys)], _GET_AT_ONCE):
            for row in self._get_some(list(some)):
                found[key_of(row)] = row
        return found

    def delete_all(self, keys: Iterable[Key]) -> None:
        """Delete rows, whatever they hold; not all at once."""
        requests = [{"DeleteRequest": {"Key": key_row(key)}} for key in dict.fromkeys(keys)]
        for some in chunks(requests, _WRITE_AT_ONCE):
            self._write_some(list(some))

    def partition(
        self, partition: str, prefix: str = "", *, since: str = "", keys_only: bool = False
    ) -> list[Row]:
        """The rows of a partition as they are now, in the order of their sort keys.

        Those with that prefix, or from `since` on, or all.
        """
        condition, values = "pk = :pk", {":pk": {"S": partition}}
        if prefix:
            condition, values[":sk"] = "pk = :pk AND begins_with(sk, :sk)", {"S": prefix}
        elif since:
            condition, values[":sk"] = "pk = :pk AND sk >= :sk", {"S": since}
        query: dict[str, Any] = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
        }
        if keys_only:
            query["ProjectionExpression"] = "pk, sk"
        return list(self.pages("query", **query))

    def indexed(
        self,
        index: str,
        partition: tuple[str, str],
        sort: tuple[str, str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """The keys in one partition of an index, in its order. It may lag behind the table.

        `partition` is a name and its value; `sort` a name, a comparison and its value.
        """
        names, values = {"#p": partition[0]}, {":p": {"S": partition[1]}}
        condition = "#p = :p"
        if sort is not None:
            names["#s"], values[":s"] = sort[0], {"S": sort[2]}
            condition += f" AND #s {sort[1]} :s"
        return self.pages(
            "query",
            limit,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )

    def counted(self, index: str, partition: tuple[str, str]) -> int:
        """How many rows stand in one partition of an index."""
        query: dict[str, Any] = {
            "IndexName": index,
            "KeyConditionExpression": "#p = :p",
            "ExpressionAttributeNames": {"#p": partition[0]},
            "ExpressionAttributeValues": {":p": {"S": partition[1]}},
            "Select": "COUNT",
        }
        counted = 0
        while True:
            answer = self.on_table("query", **query)
            counted += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return counted
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def pages(self, operation: str, limit: int | None = None, **query: Any) -> Iterator[Row]:
        """Every row of a query, page after page, at most `limit`."""
        given = 0
        while limit is None or given < limit:
            if limit is not None:
                query["Limit"] = limit - given
            answer = self.on_table(operation, **query)
            yield from answer["Items"]
            given += len(answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def answers(self) -> None:
        """Raise StoreUnavailable unless a read goes through."""
        self.get(NOBODY)

    def _get_some(self, wanted: list[Row]) -> Iterator[Row]:
        wait = _Wait(self._patience)
        while wanted:
            request = {self.name: {"Keys": wanted, "ConsistentRead": True}}
            answer = self.call("batch_get_item", RequestItems=request)
            yield from answer["Responses"].get(self.name, ())
            left = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            wait.for_the_rest(len(wanted), len(left))
            wanted = left

    def _write_some(self, requests: list[Any]) -> None:
        wait = _Wait(self._patience)
        while requests:
            answer = self.call("batch_write_item", RequestItems={self.name: requests})
            left = answer.get("UnprocessedItems", {}).get(self.name, [])
            wait.for_the_rest(len(requests), len(left))
            requests = left


class _Wait:
    """The pauses of one call, each up to twice as long as the last, and their end.

    It is tried a second time in any event: a lost answer alone may use up the patience.
    """

    def __init__(self, patience: float) -> None:
        self._tried = 0
        self._until = time.monotonic() + patience
        self._longest = _FIRST_PAUSE

    def again(self, error: Exception) -> None:
        """Pause before trying again. Raises StoreUnavailable once patience is used up."""
        pause = random.uniform(0, self._longest)  # noqa: S311 - not a secret
        self._tried += 1
        if self._tried > 1 and time.monotonic() + pause > self._until:
            raise _unavailable(error) from error
        time.sleep(pause)
        self._longest = min(2 * self._longest, _LONGEST_PAUSE)

    def for_the_rest(self, asked: int, left: int) -> None:
        """Pause if some of a batch was left over; what got something done begins anew."""
        if not left:
            return
        if left < asked:
            self._longest = _FIRST_PAUSE
        self.again(StoreUnavailable("DynamoDB left part of a batch undone"))


def _passes(error: ClientError) -> bool:
    """Whether the same call may go through in a moment."""
    if code_of(error) == CANCELLED:
        codes = {reason.get("Code") for reason in reasons_of(error)}
        return CONDITION not in codes and not codes.isdisjoint(_PASSING_REASONS)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in _PASSING or status >= _SERVER_ERROR


def _unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(f"DynamoDB answered {code_of(error)}")
