"""docs/DATA-MODEL.md is the schema, the states and the retention that the code has."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest

from app.adapters.rows import partner_row
from app.adapters.sqlite.schema import migrate
from app.domain.case import CASE_FOLLOWS
from partners.feedback import FEEDBACK_FOLLOWS
from partners.model import (
    ApiKey,
    Endpoint,
    EndpointId,
    EndpointStatus,
    Partner,
    PartnerId,
    SealedKey,
    SigningScheme,
)
from partners.outbox import MESSAGE_FOLLOWS
from tests.app.web.running import ROOT
from tests.rules.pages import headings, section, table, text_of, words

PAGE = text_of("DATA-MODEL")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def schema() -> dict[str, list[str]]:
    """The columns of every table, as the migrations make them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        named = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in named
        }


SCHEMA = schema()


def test_every_table_is_described_and_no_other() -> None:
    assert sorted(headings(section(PAGE, "Tables"), 3)) == sorted(SCHEMA)


@pytest.mark.parametrize("name", sorted(SCHEMA))
def test_its_columns_are_the_columns(name: str) -> None:
    rows = table(section(PAGE, name))
    assert [words(row[0])[0] for row in rows] == SCHEMA[name]
    assert {row[1] for row in rows} <= {"id", "plain", "tag", "sealed"}


@pytest.mark.parametrize("name", sorted(SCHEMA))
def test_what_is_called_sealed_is_so_named(name: str) -> None:
    for column, kept, *_ in table(section(PAGE, name)):
        assert column.startswith("`sealed_") == (kept == "sealed")


def test_the_document_of_a_partner() -> None:
    key = SealedKey("key_1", b"sealed", AT)
    endpoint = Endpoint(EndpointId("end_1"), None, SigningScheme.V1A, (key,))
    partner = Partner(PartnerId("ptn_1"), "A", "none", (endpoint,), (ApiKey(b"d", AT),), AT)
    document: dict[str, Any] = json.loads(str(partner_row(partner)[-1]))
    told = re.search(r"In the document: (.*?)\n\n", PAGE, re.DOTALL)
    assert told
    assert set(words(told[1])) == document.keys() | document["endpoints"][0].keys()


FOLLOWS: dict[str, Mapping[Any, frozenset[Any]]] = {
    "Case": CASE_FOLLOWS,
    "Message": MESSAGE_FOLLOWS,
    "Feedback": FEEDBACK_FOLLOWS,
}


@pytest.mark.parametrize("name", sorted(FOLLOWS))
def test_which_state_may_follow_which(name: str) -> None:
    told = {words(before)[0]: set(words(after)) for before, after in table(section(PAGE, name))}
    assert told == _plain(FOLLOWS[name])


@pytest.mark.parametrize("name", sorted(FOLLOWS))
def test_the_drawing_is_the_table(name: str) -> None:
    drawn = re.findall(r"^ +([a-z_]+) --> ([a-z_]+)", section(PAGE, name), re.MULTILINE)
    pairs = {(b, a) for b, after in _plain(FOLLOWS[name]).items() for a in after}
    assert sorted(drawn) == sorted(pairs)


def _plain(follows: Mapping[StrEnum, frozenset[StrEnum]]) -> dict[str, set[str]]:
    return {str(before): {str(state) for state in after} for before, after in follows.items()}


def test_every_state_of_an_endpoint_is_named() -> None:
    assert words(section(PAGE, "Endpoint")) == [str(status) for status in EndpointStatus]


def test_every_table_has_somebody_who_deletes_from_it() -> None:
    rows = table(section(PAGE, "Who deletes what, and when"))
    assert {name for row in rows for name in words(row[0])} == SCHEMA.keys()
    for _, who, _ in rows:
        assert who == "nobody" or (ROOT / words(who)[0]).is_file()
