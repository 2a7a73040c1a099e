"""A store whose client can be made to fail, and another one on the same table that cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.adapters.dynamodb.store import DynamoStore
from app.ports import News
from tests.contract.cloud import a_client, a_store, endpoint, table_of


@dataclass(frozen=True, slots=True)
class Rig:
    """`store` speaks through `client`; `truth` reads the same table undisturbed."""

    store: DynamoStore
    client: Any
    table: str
    truth: DynamoStore
    news: list[News]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    client = a_client(endpoint())
    table, news = table_of(client, tmp_path), list[News]()
    store = DynamoStore(client, table, news.append, patience=1.0)
    return Rig(store, client, table, a_store(tmp_path), news)
