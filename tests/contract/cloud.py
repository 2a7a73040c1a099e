"""DynamoDB for tests: one emulator for the whole session, a table for each place.

DYNAMODB_LOCAL_URL=http://127.0.0.1:8000 has the contract run on a DynamoDB Local that you started
as well (its licence forbids us to bring it: java -jar DynamoDBLocal.jar -inMemory
-disableTelemetry).
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from app.adapters.dynamodb.schema import create_table
from app.adapters.dynamodb.store import DynamoStore
from infra.cloud.emulator import REGION, ROOT, emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

LOCAL: Final = os.environ.get("DYNAMODB_LOCAL_URL")
_ONCE = {"connect_timeout": 2, "read_timeout": 10, "retries": {"total_max_attempts": 1}}


@lru_cache(maxsize=1)
def endpoint() -> str:
    """The address of the emulator, which ends with this process."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(emulator())


@lru_cache(maxsize=1)
def _session() -> boto3.session.Session:
    """It keeps what it read of DynamoDB's description, which takes longest."""
    return boto3.session.Session()


def a_client(url: str, **config: Any) -> DynamoDBClient:
    """A client that tries everything once: trying again is the store's work."""
    return _session().client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ROOT,
        aws_secret_access_key=ROOT,
        config=Config(**{**_ONCE, "parameter_validation": False, **config}),
    )


def table_of(client: DynamoDBClient, place: Path) -> str:
    """The table of that place, made if it is not there.

    Nothing is dropped from it by itself: these tests live in a May that is past.
    """
    name = "t-" + sha256(str(place).encode()).hexdigest()[:24]
    with suppress(client.exceptions.ResourceInUseException):
        create_table(client, name, ttl=False)
    return name


def a_store(place: Path, url: str | None = None, **settings: Any) -> DynamoStore:
    """The store of that place."""
    client = _shared(url or endpoint())
    return DynamoStore(client, table_of(client, place), **settings)


@lru_cache(maxsize=2)
def _shared(url: str) -> DynamoDBClient:
    return a_client(url, max_pool_connections=32)
