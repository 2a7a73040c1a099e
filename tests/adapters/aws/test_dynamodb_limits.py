"""Counters shared by processes: exactly as many as allowed, none while nobody counts."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections import Counter

import pytest
from limits.storage import storage_from_string

from app.adapters.aws import client
from app.adapters.dynamodb_limits import SCHEME, TABLE, DynamoWindows
from app.domain.errors import StoreUnavailable
from tests.adapters.aws.faults import Answers

HOUR = 3600


@pytest.fixture
def table(aws: str) -> str:
    name = f"limits-{secrets.token_hex(6)}"
    dynamodb = client("dynamodb")
    dynamodb.create_table(TableName=name, **TABLE)
    dynamodb.get_waiter("table_exists").wait(TableName=name)
    return name


def windows(table: str, at: float = 1_800_000_000.0) -> DynamoWindows:
    return DynamoWindows(f"{SCHEME}://{table}", clock=lambda: at)


def test_its_scheme_finds_it(table: str) -> None:
    found = storage_from_string(f"{SCHEME}://{table}")
    assert isinstance(found, DynamoWindows)
    assert found.check()
    assert found.incr("a", HOUR) == 1


def test_hits_of_a_window_add_up_and_the_next_begins_anew(table: str) -> None:
    now = windows(table)
    assert [now.incr("a", HOUR) for _ in range(3)] == [1, 2, 3]
    assert now.incr("b", HOUR) == 1
    ends = now.get_expiry("a")
    assert 0 < ends - 1_800_000_000 <= HOUR
    assert windows(table, ends - 1).incr("a", HOUR) == 4
    assert windows(table, ends).incr("a", HOUR) == 1
    assert now.get("a") == 4
    now.clear("a")
    assert now.get("a") == 0


def test_windows_of_different_keys_do_not_all_end_at_once(table: str) -> None:
    now = windows(table)
    ends = Counter(now._window(f"network/{n}", HOUR)[0] for n in range(500))
    assert len(ends) > 300


def test_what_was_counted_is_dropped_by_the_table_itself(table: str) -> None:
    now = windows(table)
    now.incr("a", HOUR)
    (item,) = client("dynamodb").scan(TableName=table)["Items"]
    assert float(item["expires"]["N"]) == now.get_expiry("a") + 60


def _allowed(table: str, most: int, tries: int, start: object, said: object) -> None:
    mine = DynamoWindows(f"{SCHEME}://{table}", clock=lambda: 1_800_000_000.0)
    start.wait()  # type: ignore[attr-defined]
    said.put(sum(mine.incr("reports/network", HOUR) <= most for _ in range(tries)))  # type: ignore[attr-defined]


def test_two_processes_against_one_limit_allow_exactly_as_many(table: str) -> None:
    assert os.environ["AWS_ENDPOINT_URL"]
    context = multiprocessing.get_context("spawn")
    start, said = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=_allowed, args=(table, 20, 25, start, said), daemon=True)
        for _ in range(2)
    ]
    for process in both:
        process.start()
    allowed = [said.get(timeout=60) for _ in both]
    for process in both:
        process.join(20)
    assert sum(allowed) == 20


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("InternalServerError", 500),
        ("ExpiredTokenException", 400),
    ],
)
def test_nothing_is_let_through_while_nobody_counts(table: str, code: str, status: int) -> None:
    dynamodb = client("dynamodb")
    mine = DynamoWindows(f"{SCHEME}://{table}", dynamodb)
    away = Answers(dynamodb, "UpdateItem", status, code)
    with pytest.raises(StoreUnavailable, match="counters") as refused:
        mine.incr("a", HOUR)
    assert "arn" not in str(refused.value)
    away.on = False
    assert mine.incr("a", HOUR) == 1


def test_an_answer_that_is_lost_counts_on_the_safe_side(table: str) -> None:
    dynamodb = client("dynamodb")
    mine = DynamoWindows(f"{SCHEME}://{table}", dynamodb)
    lost = Answers(dynamodb, "UpdateItem", 500, "InternalServerError", after=True)
    with pytest.raises(StoreUnavailable):
        mine.incr("a", HOUR)
    lost.on = False
    assert mine.incr("a", HOUR) == lost.asked
