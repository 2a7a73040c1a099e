"""What a change is in SQL. Statements are constants; rows of one statement are stored together.

One call into SQLite for many rows matters more than it seems: each call gives up the interpreter
lock, and under load the writer then queues for it again behind every request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import assert_never

from app.adapters.rows import (
    ANSWER,
    ATTEMPT,
    AUDIT,
    CASE,
    EVENT,
    ITEM,
    MESSAGE,
    NOTICE,
    PARTNER,
    TOKEN,
    Row,
    audit_row,
    case_row,
    event_row,
    item_row,
    message_row,
    notice_row,
    partner_row,
    remembered_row,
    token_row,
)
from app.domain.errors import AgeTokenSpent, CaseKeyTaken, Contested, ReportRemoveError
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    Change,
    CloseEvent,
    News,
    PutItem,
    Remember,
    SaveCase,
    SaveMessage,
    SaveNotice,
    SavePartner,
    SpendToken,
)

_SIZES = (64, 32, *range(16, 0, -1))

CASE_COLUMNS = ", ".join(CASE)
ITEM_COLUMNS = ", ".join(ITEM)
AUDIT_COLUMNS = ", ".join(AUDIT)
EVENT_COLUMNS = ", ".join(EVENT)
NOTICE_COLUMNS = ", ".join(NOTICE)
MESSAGE_COLUMNS = ", ".join(MESSAGE)
ATTEMPT_COLUMNS = ", ".join(ATTEMPT)
PARTNER_COLUMNS = ", ".join(PARTNER)
ANSWER_COLUMNS = ", ".join(ANSWER)
TOKEN_COLUMNS = ", ".join(TOKEN)


class Insert:
    """`head` rows `tail`: as many rows in one call as there are. Refused whole, as `refusal`."""

    def __init__(
        self, head: str, width: int, tail: str, refusal: type[ReportRemoveError] = Contested
    ) -> None:
        row = f"({', '.join('?' * width)})"
        self.refusal = refusal
        self._sql = {size: f"{head} {', '.join([row] * size)} {tail}" for size in _SIZES}

    def run(self, connection: sqlite3.Connection, rows: list[Row]) -> list[Row]:
        """Store the rows; what the statement returns. Raises `refusal`."""
        done = 0
        returned: list[Row] = []
        try:
            while done < len(rows):
                size = next(size for size in _SIZES if size <= len(rows) - done)
                values = tuple(chain.from_iterable(rows[done : done + size]))
                returned += connection.execute(self._sql[size], values).fetchall()
                done += size
        except sqlite3.IntegrityError:
            raise self.refusal from None
        return returned


class Update:
    """A change of one row. With `must_hit`, refused as Contested where no row is as expected."""

    def __init__(self, sql: str, must_hit: bool = True) -> None:
        self._sql = sql
        self._must_hit = must_hit

    def run(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        """Change the rows, one by one. Raises Contested."""
        for row in rows:
            if connection.execute(self._sql, row).rowcount != 1 and self._must_hit:
                raise Contested


def _insert(
    table: str, columns: str, refusal: type[ReportRemoveError] = Contested, conflict: str = ""
) -> Insert:
    width = columns.count(",") + 1
    return Insert(f"INSERT INTO {table} ({columns}) VALUES", width, conflict, refusal)


def _update(table: str, columns: str, guard: str) -> Update:
    """Set all columns of the row with that id, if `guard` is one below the new value."""
    names = columns.split(", ")
    places = ", ".join(f"{name} = ?{place}" for place, name in enumerate(names, start=1))
    new = names.index(guard) + 1
    return Update(f"UPDATE {table} SET {places} WHERE id = ?1 AND {guard} = ?{new} - 1")


_ADD_CASE = _insert("cases", CASE_COLUMNS, CaseKeyTaken)
_SAVE_CASE = _update("cases", CASE_COLUMNS, "version")
_PUT_ITEM = _insert(
    "items",
    ITEM_COLUMNS,
    conflict="ON CONFLICT (case_id, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ITEM[2:]),
)
_SPEND_TOKEN = _insert("spent_tokens", TOKEN_COLUMNS, AgeTokenSpent)
_REMEMBER = _insert("answers", ANSWER_COLUMNS)
_ADD_AUDIT = _insert("audit", AUDIT_COLUMNS)
_ADD_EVENT = _insert("events", EVENT_COLUMNS)
_CLOSE_EVENT = Update("DELETE FROM events WHERE id = ?", must_hit=False)
_ADD_NOTICE = _insert("notices", NOTICE_COLUMNS, conflict="ON CONFLICT (id) DO NOTHING")
_SAVE_NOTICE = _update("notices", NOTICE_COLUMNS, "version")
_ADD_MESSAGE = _insert("messages", MESSAGE_COLUMNS, conflict="ON CONFLICT (id) DO NOTHING")
_SAVE_MESSAGE = _update("messages", MESSAGE_COLUMNS, "claim")
_ADD_PARTNER = _insert("partners", PARTNER_COLUMNS)
_SAVE_PARTNER = _update("partners", PARTNER_COLUMNS, "version")

Statement = Insert | Update
Step = tuple[Statement, Row]

# What a worker waits for.
NEWS = {_ADD_EVENT: News.EVENTS, _ADD_MESSAGE: News.MESSAGES, _SAVE_MESSAGE: News.MESSAGES}
INSERTS = frozenset(
    {
        _ADD_CASE,
        _PUT_ITEM,
        _SPEND_TOKEN,
        _REMEMBER,
        _ADD_AUDIT,
        _ADD_EVENT,
        _ADD_NOTICE,
        _ADD_MESSAGE,
        _ADD_PARTNER,
    }
)


def step(change: Change) -> Step:  # noqa: C901 - one line for each kind of change
    """The statement of a change and its row."""
    match change:
        case AddCase(case):
            return _ADD_CASE, case_row(case)
        case PutItem(item):
            return _PUT_ITEM, item_row(item)
        case AddAudit(entry):
            return _ADD_AUDIT, audit_row(entry)
        case AddEvent(event):
            return _ADD_EVENT, event_row(event)
        case Remember(remembered):
            return _REMEMBER, remembered_row(remembered)
        case SpendToken() as token:
            return _SPEND_TOKEN, token_row(token)
        case AddNotice(notice):
            return _ADD_NOTICE, notice_row(notice)
        case AddMessage(message):
            return _ADD_MESSAGE, message_row(message)
        case CloseEvent(event_id):
            return _CLOSE_EVENT, (event_id,)
        case SaveCase(case):
            return _SAVE_CASE, case_row(case)
        case SaveNotice(notice):
            return _SAVE_NOTICE, notice_row(notice)
        case SaveMessage(message):
            return _SAVE_MESSAGE, message_row(message)
        case SavePartner(partner):
            return _ADD_PARTNER if partner.version == 1 else _SAVE_PARTNER, partner_row(partner)
    assert_never(change)


def run_in_order(connection: sqlite3.Connection, steps: Iterable[Step]) -> None:
    """Run steps as they stand, neighbours of one statement together. Raises the first refusal."""
    for statement, run in groupby(steps, key=itemgetter(0)):
        statement.run(connection, [row for _, row in run])


def run_sorted(connection: sqlite3.Connection, steps: Iterator[Step]) -> None:
    """Run steps whose order does not matter, all of one statement together."""
    rows: dict[Statement, list[Row]] = {}
    for statement, row in steps:
        rows.setdefault(statement, []).append(row)
    for statement, together in rows.items():
        statement.run(connection, together)
