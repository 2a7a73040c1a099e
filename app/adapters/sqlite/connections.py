"""How a database file is made, opened and locked."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from app.adapters.sqlite.schema import migrate
from app.domain.errors import StoreUnavailable

_SETTINGS = (
    "synchronous = FULL",  # a commit has reached the disk when it returns
    "secure_delete = ON",  # what is deleted is overwritten, not only unlinked
    "temp_store = MEMORY",  # savepoints never touch a second file
    "cache_size = -32768",
    "wal_autocheckpoint = 4000",
)
_PAUSES = (0.0002, 0.002)  # seconds: SQLite's own pauses grow to a tenth of a second


def create_file(path: Path) -> None:
    """Make an empty database that only its owner may read. SQLite's other files take its mode."""
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_writer(path: Path, lock_timeout: float) -> sqlite3.Connection:
    """The connection through which this process writes; the tables are up to date."""
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), lock_timeout)
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        begin(connection, lock_timeout)
        migrate(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()  # and so nothing of a migration stays
        raise
    return connection


def open_reader(path: Path, lock_timeout: float) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(
        path, timeout=lock_timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def begin(connection: sqlite3.Connection, lock_timeout: float) -> None:
    """Take the write lock of the file, which another process may hold for a moment."""
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), lock_timeout)


def patiently(act: Callable[[], object], lock_timeout: float) -> None:
    """Repeat `act` while the file is locked; raise StoreUnavailable after `lock_timeout` s."""
    give_up_at = time.monotonic() + lock_timeout
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
        if time.monotonic() > give_up_at:
            raise StoreUnavailable("the database stayed locked by another process")
        time.sleep(random.uniform(*_PAUSES))  # noqa: S311 - not a secret


def in_domain_words(error: Exception) -> Exception:
    """What SQLite could not do, as StoreUnavailable; anything else stays what it is."""
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(*error.args)
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        return StoreUnavailable(f"SQLite answered {error.sqlite_errorname}")
    return error
