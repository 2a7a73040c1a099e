"""All records of a kind, page by page, and records put back as they were."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from app.adapters import rows
from app.adapters.rows import Row
from app.adapters.sqlite import statements as sql
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.ports import Record, Remembered, SpendToken
from partners.events import Event
from partners.model import Attempt, Message, Notice, Partner

S = TypeVar("S", bound=Record)


@dataclass(frozen=True, slots=True)
class _Table:
    """Where the records of a kind are. `key` orders them, and tells a page where it begins."""

    name: str
    columns: str
    key: str
    row_of: Callable[[Any], Row]
    record_of: Callable[[Any], Any]


_TABLES: dict[type, _Table] = {
    Partner: _Table("partners", sql.PARTNER_COLUMNS, "id", rows.partner_row, rows.partner_of),
    Case: _Table("cases", sql.CASE_COLUMNS, "id", rows.case_row, rows.case_of),
    Item: _Table("items", sql.ITEM_COLUMNS, "rowid", rows.item_row, rows.item_of),
    AuditEntry: _Table(
        "audit", sql.AUDIT_COLUMNS, "case_id, number", rows.audit_row, rows.audit_of
    ),
    Event: _Table("events", sql.EVENT_COLUMNS, "seq", rows.event_row, rows.event_of),
    Notice: _Table("notices", sql.NOTICE_COLUMNS, "id", rows.notice_row, rows.notice_of),
    Message: _Table("messages", sql.MESSAGE_COLUMNS, "seq", rows.message_row, rows.message_of),
    Attempt: _Table(
        "attempts", sql.ATTEMPT_COLUMNS, "message_id, number", rows.attempt_row, rows.attempt_of
    ),
    SpendToken: _Table("spent_tokens", sql.TOKEN_COLUMNS, "tag", rows.token_row, rows.token_of),
    Remembered: _Table(
        "answers", sql.ANSWER_COLUMNS, "tag", rows.remembered_row, rows.remembered_of
    ),
}


def page_query(kind: type[S], after: str, limit: int) -> tuple[str, list[Any]]:
    """The query of a page, its last row one too many, and the values."""
    table = _TABLES[kind]
    key = table.key
    last = [_key_of(part) for part in json.loads(after)] if after else []
    where = f"WHERE ({key}) > ({', '.join('?' * len(last))})" if last else ""
    query = f"SELECT {key}, {table.columns} FROM {table.name} {where} ORDER BY {key} LIMIT ?"
    return query, [*last, limit + 1]


def page(kind: type[S], found: Sequence[Any], limit: int) -> tuple[list[S], str | None]:
    """The records of the rows of `page_query`, and the next page's cursor."""
    table = _TABLES[kind]
    width = table.key.count(",") + 1
    records = [table.record_of(row[width:]) for row in found[:limit]]
    more = len(found) > limit
    return records, json.dumps(
        [_text_of(part) for part in found[limit - 1][:width]]
    ) if more else None


def _text_of(part: Any) -> Any:
    return {"hex": part.hex()} if isinstance(part, bytes) else part


def _key_of(part: Any) -> Any:
    return bytes.fromhex(part["hex"]) if isinstance(part, dict) else part


def restore(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Insert the records that are not there yet, in their order."""
    for kind, together in groupby(records, key=type):
        table = _TABLES[kind]
        places = ", ".join("?" * (table.columns.count(",") + 1))
        connection.executemany(
            f"INSERT INTO {table.name} ({table.columns}) VALUES ({places}) ON CONFLICT DO NOTHING",
            [table.row_of(record) for record in together],
        )
