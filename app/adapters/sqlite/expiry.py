"""What is forgotten: a purged case at once, and what is kept only for a while."""

from __future__ import annotations

import sqlite3

_AT_ONCE = 1000  # rows of one kind in one commit

_MESSAGES_OF_CASE = (
    "SELECT messages.id FROM notices JOIN messages ON messages.notice_id = notices.id"
    " WHERE notices.case_id = ?1"
)
_PURGE = (
    f"DELETE FROM attempts WHERE message_id IN ({_MESSAGES_OF_CASE})",
    f"DELETE FROM messages WHERE id IN ({_MESSAGES_OF_CASE})",
    "DELETE FROM notices WHERE case_id = ?1",
    "DELETE FROM items WHERE case_id = ?1",
    "DELETE FROM events WHERE case_id = ?1",
    "DELETE FROM cases WHERE id = ?1",
)

_FORGET_TOKENS = f"""DELETE FROM spent_tokens WHERE tag IN
    (SELECT tag FROM spent_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT {_AT_ONCE})"""
_FORGET_ANSWERS = f"""DELETE FROM answers WHERE tag IN
    (SELECT tag FROM answers WHERE expires_at <= ? ORDER BY expires_at LIMIT {_AT_ONCE})"""
_FORGET_ATTEMPTS = f"""DELETE FROM attempts WHERE (message_id, number) IN
    (SELECT message_id, number FROM attempts WHERE started_at < ?
     ORDER BY started_at LIMIT {_AT_ONCE})"""
_FORGET_CHAINS = f"""DELETE FROM audit WHERE case_id IN
    (SELECT DISTINCT case_id FROM audit AS old INDEXED BY audit_by_time WHERE at < ?1
     AND NOT EXISTS (SELECT 1 FROM cases WHERE id = old.case_id)
     AND NOT EXISTS (SELECT 1 FROM audit AS newer
                     WHERE newer.case_id = old.case_id AND newer.at >= ?1)
     LIMIT {_AT_ONCE})"""


def purge(connection: sqlite3.Connection, case_id: str) -> None:
    """Delete a case and all that hangs on it, except its audit chain."""
    for statement in _PURGE:
        connection.execute(statement, (case_id,))


def forget_some(
    connection: sqlite3.Connection, now: int, attempts_before: int, audit_before: int
) -> int:
    """Delete a batch of expired rows; how many, 0 when none are left."""
    return sum(
        connection.execute(statement, (limit,)).rowcount
        for statement, limit in (
            (_FORGET_TOKENS, now),
            (_FORGET_ANSWERS, now),
            (_FORGET_ATTEMPTS, attempts_before),
            (_FORGET_CHAINS, audit_before),
        )
    )
