"""Messages that are due: taken up under a lease, finished behind a fence, read in pages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from app.adapters.rows import ATTEMPT, Row, attempt_row, micros, micros_if
from app.adapters.sqlite.statements import ATTEMPT_COLUMNS, MESSAGE_COLUMNS, Insert
from partners.model import DeliveryResult, MessageState, PartnerId

_WAITING = "state = 'pending' AND due_at IS NOT NULL"

NEXT_DUE = f"SELECT min(due_at) FROM messages WHERE {_WAITING}"

_DUE = f"{_WAITING} AND due_at <= ? ORDER BY due_at, seq LIMIT ?"
SELECT_DUE = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE {_DUE}"
# As they stand once they are taken up until the first value.
_TAKEN = MESSAGE_COLUMNS.replace(" due_at,", " ?,").replace(" claim,", " claim + 1,")
_SELECT_TAKEN = f"SELECT {_TAKEN} FROM messages WHERE {_DUE}"
_TAKE_DUE = f"""UPDATE messages SET claim = claim + 1, due_at = ?
    WHERE seq IN (SELECT seq FROM messages WHERE {_DUE})"""
_NAMED = "SELECT value FROM json_each(?)"  # any number of ids in one value
_DUE_OF = f"{_WAITING} AND due_at <= ? AND id IN ({_NAMED})"
_SELECT_TAKEN_OF = f"SELECT {_TAKEN} FROM messages WHERE {_DUE_OF} ORDER BY messages.due_at, seq"
_TAKE_DUE_OF = f"UPDATE messages SET claim = claim + 1, due_at = ? WHERE {_DUE_OF}"
_PAGE = f"SELECT seq, {MESSAGE_COLUMNS} FROM messages WHERE"
_IN_ORDER = " ORDER BY seq LIMIT ?"
_LONGEST_CURSOR = 19  # digits; one more may not fit a SQLite integer

# The fence: a row of an older claim, or of a purged message, meets no stored row.
_FINISH = Insert(
    "UPDATE messages SET state = new.column3, due_at = new.column4, attempts = new.column5"
    " FROM (VALUES",
    5,
    ") AS new WHERE messages.id = new.column1 AND messages.claim = new.column2"
    " RETURNING messages.id",
)
_ADD_ATTEMPT = Insert(
    f"INSERT OR REPLACE INTO attempts ({ATTEMPT_COLUMNS}) VALUES", len(ATTEMPT), ""
)
_START_CLOCK = Insert(
    "UPDATE notices SET delivered_at = new.column2, deadline_at = new.column3,"
    " version = version + 1 FROM (VALUES",
    3,
    ") AS new WHERE notices.id = new.column1 AND notices.delivered_at IS NULL",
)


Outcome = tuple[str, Row, Row | None, Row | None]  # message id, its change, attempt, clock


def claim(connection: sqlite3.Connection, now: int, limit: int, until: int) -> list[Row]:
    """Take up due messages until `until`. Their rows, in the order they were due."""
    taken = connection.execute(_SELECT_TAKEN, (until, now, limit)).fetchall()
    connection.execute(_TAKE_DUE, (until, now, limit))
    return taken


def claim_named(
    connection: sqlite3.Connection, ids: Sequence[str], now: int, until: int
) -> list[Row]:
    """As `claim`, of these ids only."""
    named = json.dumps(ids)
    taken = connection.execute(_SELECT_TAKEN_OF, (until, now, named)).fetchall()
    connection.execute(_TAKE_DUE_OF, (until, now, named))
    return taken


def outcome(result: DeliveryResult) -> Outcome:
    """The rows of one result."""
    message, delivered = result.message, result.delivered
    due_at = micros_if(message.due_at)
    change = (message.id, message.claim, str(message.state), due_at, message.attempts)
    attempt = None if result.attempt is None else attempt_row(result.attempt)
    if delivered is None:
        return message.id, change, attempt, None
    clock = (delivered.notice_id, micros(delivered.at), micros_if(delivered.deadline_at))
    return message.id, change, attempt, clock


def finish(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
    """Store outcomes whose claim still stands, with their attempts and the notices' clocks."""
    stored = {row[0] for row in _FINISH.run(connection, [change for _, change, _, _ in outcomes])}
    kept = [(attempt, clock) for id_, _, attempt, clock in outcomes if id_ in stored]
    _ADD_ATTEMPT.run(connection, [attempt for attempt, _ in kept if attempt is not None])
    _START_CLOCK.run(connection, [clock for _, clock in kept if clock is not None])


def place_of(cursor: str) -> int:
    """The `seq` after which a page begins. ValueError for a cursor that is none of ours."""
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < _LONGEST_CURSOR):
        raise ValueError("not a cursor of this store")
    return int(cursor)


def page_query(
    partner_id: PartnerId | None,
    states: Sequence[MessageState],
    since: int,
    after: int,
    limit: int,
) -> tuple[str, Row]:
    """A page of messages in the order they were made.

    One walk along the index for each state, merged: a partner's few waiting messages are found
    without reading the many that were delivered.
    """
    if partner_id is None:
        wanted = ", ".join("?" * len(states))
        among = f" AND state IN ({wanted})" if states else ""
        made = f"seq > ? AND created_at >= ?{among}"
        return f"{_PAGE} {made}{_IN_ORDER}", (after, since, *map(str, states), limit)
    made = "seq > ? AND created_at >= ?"
    walk = f"SELECT * FROM ({_PAGE} partner_id = ? AND state = ? AND {made}{_IN_ORDER})"
    chosen = dict.fromkeys(states or MessageState)
    values = [v for state in chosen for v in (partner_id, str(state), after, since, limit)]
    return " UNION ALL ".join([walk] * len(chosen)) + _IN_ORDER, (*values, limit)
