"""How many tokens each person had signed today: the only thing the broker writes to a disk.

Two tables. `day_key` holds the random key of a day; `granted` holds, for each tag of a person, a
count. A tag is HMAC(key of the day, provider and subject). Yesterday's key is deleted when a day
begins, yesterday's counts ten minutes later, when the last grant of that day has ended.

Once a key is deleted nobody, we included, can tell which person a tag of that day belonged to, test
whether a known person was here that day, or see that the tags of two days belong to one person;
not with an old copy of the counts either. *While it is there*, whoever has the file and knows a
provider's name for somebody can test whether that person had a pass today. A copy made of the file
during the day keeps the day's key: make none. Deleted bytes are overwritten in the file
(`secure_delete`), but no program can promise that a disk keeps no older copy of a block: put the
file on a tmpfs.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.broker.errors import StartRefused
from infra.broker.grants import PersonTag, person_tag

_WAIT = 5.0  # seconds for another process to finish writing
# WITHOUT ROWID: rows lie in the order of their tags, and no number tells who came first.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS day_key (day INTEGER PRIMARY KEY, key BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS granted (
        day INTEGER NOT NULL, person_tag BLOB NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (day, person_tag)) WITHOUT ROWID""",
)
_PRAGMAS = ("journal_mode=TRUNCATE", "secure_delete=ON", "temp_store=MEMORY", "synchronous=FULL")


class DayBook:
    """The counts of a day, in a file that several processes may share."""

    def __init__(self, path: Path) -> None:
        """Raises StartRefused if the file cannot be used or others may read it."""
        self._lock = threading.Lock()
        _make_private(path)
        try:
            self._connection = _open(path)
        except sqlite3.Error:
            raise StartRefused(["database: it cannot be opened or is another file"]) from None

    def tag(self, day: int, provider: str, subject: str) -> PersonTag:
        """What this person is called on that day. Two days' tags have nothing in common."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO day_key VALUES (?, ?)", (day, secrets.token_bytes(32))
            )
            (key,) = connection.execute("SELECT key FROM day_key WHERE day = ?", (day,)).fetchone()
        return person_tag(key, provider, subject)

    def had(self, day: int, person: PersonTag) -> int:
        """How many tokens were signed for them on that day."""
        with self._lock:
            row = self._connection.execute(
                "SELECT count FROM granted WHERE day = ? AND person_tag = ?", (day, person)
            ).fetchone()
        return int(row[0]) if row else 0

    def count_one(self, day: int, person: PersonTag, limit: int) -> bool:
        """Count one more, unless that would be more than `limit`. One step for all processes."""
        with self._writing() as connection:
            row = connection.execute(
                "INSERT INTO granted VALUES (?, ?, 1) ON CONFLICT DO UPDATE"
                " SET count = count + 1 WHERE count < ? RETURNING count",
                (day, person, limit),
            ).fetchone()
        return row is not None

    def uncount_one(self, day: int, person: PersonTag) -> None:
        """Take back a count for a token that could not be signed."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE granted SET count = count - 1 WHERE day = ? AND person_tag = ?",
                (day, person),
            )

    def forget(self, keys_before: int, counts_before: int) -> None:
        """Delete the keys and the counts of days before these, and the room they took.

        Also of days that are yet to come, but for the next, at which another process's clock may
        be already: they were made while a clock was ahead, and would lie here until then.
        """
        last = keys_before + 1
        with self._writing() as connection:
            deleted = sum(
                connection.execute(
                    f"DELETE FROM {table} WHERE day < ? OR day > ?",  # noqa: S608
                    (day, last),
                ).rowcount
                for table, day in (("day_key", keys_before), ("granted", counts_before))
            )
        if deleted:
            # Another process may be reading; what was deleted is overwritten already.
            with self._lock, suppress(sqlite3.OperationalError):
                self._connection.execute("VACUUM")

    def close(self) -> None:
        """Nothing can be counted afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT (a full disk) may have ended it already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        mode = path.stat().st_mode
    except OSError:
        raise StartRefused(["database: the file cannot be made or opened"]) from None
    if mode & 0o077:
        raise StartRefused(["database: others may read the file; chmod 600"])


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    for statement in _SCHEMA:
        connection.execute(statement)
    return connection
