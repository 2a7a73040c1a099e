"""The plainest thing to write: numbers, each of which can be stored once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from app.adapters.sqlite.connections import open_writer
from app.adapters.sqlite.writer import Work


def opened(path: Path) -> sqlite3.Connection:
    """A writer's connection to a new file with room for numbers."""
    connection = open_writer(path, 10.0)
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    return connection


def put(number: int) -> Work:
    """A work that stores a number and gives it back."""

    def act(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return Work(act)


def stored(path: Path) -> set[int]:
    """The numbers in a file, as another connection sees them."""
    with closing(sqlite3.connect(path)) as reader:
        return {number for (number,) in reader.execute("SELECT number FROM numbers")}
