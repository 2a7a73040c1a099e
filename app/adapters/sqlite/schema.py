"""The tables, as a list of migrations.

Times are integers, microseconds since 1970 UTC. Enumerations are their words. A table that other
rows are read from in the order of their making has a `seq`, given in commit order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from app.domain.errors import StoreUnavailable
from partners.model import DECISIONS

OVERDUE = (
    "deadline_at IS NOT NULL AND late_at IS NULL AND withdrawn_at IS NULL"
    f" AND word NOT IN {tuple(map(str, DECISIONS))}"
)
"""What may become late: word for word what `notices_overdue` is an index of, or it is not used."""

_FIRST = """
CREATE TABLE cases (
    id TEXT PRIMARY KEY, key_tag BLOB NOT NULL UNIQUE, basis TEXT NOT NULL, band TEXT NOT NULL,
    profile TEXT NOT NULL, created_at INTEGER NOT NULL, sweep_at INTEGER NOT NULL,
    item_count INTEGER NOT NULL, state TEXT NOT NULL, withdrawn_at INTEGER, scrubbed_at INTEGER,
    audit_head BLOB NOT NULL, version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX cases_to_sweep ON cases (sweep_at);

CREATE TABLE items (
    case_id TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, platforms TEXT NOT NULL,
    added_at INTEGER NOT NULL, duplicate_tag BLOB, sealed_hashes BLOB, sealed_locations BLOB,
    UNIQUE (case_id, number)
);
CREATE INDEX items_by_duplicate ON items (duplicate_tag)
    WHERE duplicate_tag IS NOT NULL AND sealed_hashes IS NOT NULL;

CREATE TABLE spent_tokens (tag BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX spent_tokens_by_expiry ON spent_tokens (expires_at);

CREATE TABLE answers (
    tag BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, answer BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX answers_by_expiry ON answers (expires_at);

CREATE TABLE audit (
    case_id TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL,
    action TEXT NOT NULL, reason TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (case_id, number)
) WITHOUT ROWID;
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, case_id TEXT NOT NULL,
    items TEXT NOT NULL, at INTEGER NOT NULL, partner_id TEXT
);

CREATE TABLE notices (
    id TEXT PRIMARY KEY, partner_id TEXT NOT NULL, case_id TEXT NOT NULL,
    item_number INTEGER NOT NULL, created_at INTEGER NOT NULL, word TEXT NOT NULL,
    word_at INTEGER NOT NULL, reason_code TEXT, automated INTEGER, redress_url TEXT,
    delivered_at INTEGER, deadline_at INTEGER, late_at INTEGER, withdrawn_at INTEGER,
    version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX notices_by_case ON notices (case_id, item_number, partner_id);
CREATE INDEX notices_overdue ON notices (deadline_at) WHERE deadline_at IS NOT NULL\
 AND late_at IS NULL AND withdrawn_at IS NULL\
 AND word NOT IN ('removed', 'not_found', 'not_violating', 'withdrawn_done');

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event_type TEXT NOT NULL,
    event_at INTEGER NOT NULL, partner_id TEXT NOT NULL, endpoint_id TEXT NOT NULL,
    notice_id TEXT, created_at INTEGER NOT NULL, state TEXT NOT NULL, due_at INTEGER,
    attempts INTEGER NOT NULL, claim INTEGER NOT NULL, deadline INTEGER
);
CREATE INDEX messages_due ON messages (due_at, seq)
    WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX messages_by_partner ON messages (partner_id, state, seq);
CREATE INDEX messages_by_notice ON messages (notice_id) WHERE notice_id IS NOT NULL;

CREATE TABLE attempts (
    message_id TEXT NOT NULL, number INTEGER NOT NULL, started_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL, status INTEGER, error TEXT, response_bytes INTEGER NOT NULL,
    breaker TEXT,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX attempts_by_time ON attempts (started_at);

CREATE TABLE partners (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, created_at INTEGER NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
"""

_ITEMS_BY_THEMSELVES = "ALTER TABLE items ADD COLUMN withdrawn_at INTEGER;"

MIGRATIONS: tuple[str, ...] = (_FIRST, _ITEMS_BY_THEMSELVES)
"""In order. A database runs each once: a script that was released stays as it is, whatever the code
it once agreed with becomes."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date. The caller has begun a transaction, and commits it.

    Raises StoreUnavailable for a database that a newer program has changed.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreUnavailable("the database was made by a newer version of this program")
    for script in MIGRATIONS[version:]:
        for statement in statements(script):
            connection.execute(statement)
    if version < len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one (executescript would commit in between)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
