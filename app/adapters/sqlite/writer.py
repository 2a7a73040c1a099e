"""One thread that writes for all, and makes one durable commit of everything that waits.

A disk reaches a few thousand commits a second and many more rows: units that wait while one commit
is on its way to the disk share the next one. Each is answered after the commit that holds it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from queue import SimpleQueue
from typing import Any

from app.adapters.sqlite.connections import begin, in_domain_words
from app.adapters.sqlite.statements import INSERTS, NEWS, Step, run_in_order, run_sorted
from app.domain.errors import StoreUnavailable
from app.ports import News

_MOST_IN_ONE_COMMIT = 256


class Work:
    """Something to be done inside a commit, and the lock its caller waits at."""

    __slots__ = ("_done", "act", "error", "news", "result")

    def __init__(self, act: Callable[[sqlite3.Connection], Any], news: Iterable[News] = ()) -> None:
        self.act = act
        self.news = news
        self.result: Any = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def answer(self) -> None:
        """Let the caller go on."""
        self._done.release()

    def wait(self) -> Any:
        """The result, once it is durable. Raises what the work raised, or StoreUnavailable."""
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self.result


class Unit(Work):
    """The changes of one `commit`. `mergeable` if only new rows, which may share statements."""

    __slots__ = ("mergeable", "steps")

    def __init__(self, steps: Sequence[Step]) -> None:
        statements = {statement for statement, _ in steps}
        super().__init__(self._run, {NEWS[s] for s in statements if s in NEWS})
        self.steps = steps
        self.mergeable = INSERTS.issuperset(statements)

    def _run(self, connection: sqlite3.Connection) -> None:
        run_in_order(connection, self.steps)


class Writer:
    """The writing thread of one database file.

    `announce` is called on that thread after a commit that leaves something for a worker.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock_timeout: float, announce: Callable[[News], None]
    ) -> None:
        self.commits = 0
        self._connection = connection
        self._lock_timeout = lock_timeout
        self._announce = announce
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def do(self, work: Work) -> Any:
        """Have the work done and wait until it is durable. Raises what it raised."""
        with self._closing:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._waiting.put(work)
        return work.wait()

    def close(self) -> None:
        """Finish what was accepted, refuse the rest, and close the connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._next_group()
            if group:
                self._commit(group)
        self._connection.close()

    def _next_group(self) -> tuple[list[Work], bool]:
        """What waits, at least one; and whether more may come."""
        group: list[Work] = []
        work = self._waiting.get()
        while work is not None:
            group.append(work)
            if len(group) == _MOST_IN_ONE_COMMIT or self._waiting.empty():
                return group, True
            work = self._waiting.get()
        return group, False

    def _commit(self, group: list[Work]) -> None:
        try:
            begin(self._connection, self._lock_timeout)
            self._do_all(group)
            self._connection.execute("COMMIT")
            self.commits += 1
        except Exception as error:  # noqa: BLE001 - whatever it was, the writer goes on
            self._give_up(group, error)
        for work in group:
            work.answer()
        for news in {news for work in group if work.error is None for news in work.news}:
            with suppress(Exception):  # a listener's trouble is not the writer's
                self._announce(news)

    def _do_all(self, group: list[Work]) -> None:
        mergeable = [work for work in group if isinstance(work, Unit) and work.mergeable]
        if len(mergeable) < 2 or not self._merged(mergeable):
            mergeable = []
        merged = set(mergeable)
        for work in group:
            if work not in merged:
                work.error = self._alone(work)

    def _merged(self, units: list[Unit]) -> bool:
        """Whether all of them could be done together; if not, none is."""
        steps = chain.from_iterable(unit.steps for unit in units)
        together = Work(lambda connection: run_sorted(connection, steps))
        return self._alone(together) is None

    def _alone(self, work: Work) -> BaseException | None:
        """Do one work under a savepoint. What it raised, and then nothing of it is left."""
        self._connection.execute("SAVEPOINT work")
        try:
            work.result = work.act(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite has undone the whole group
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
            return in_domain_words(error)
        self._connection.execute("RELEASE work")
        return None

    def _give_up(self, group: list[Work], error: Exception) -> None:
        """Nothing of this group is stored, and each of its callers hears so."""
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        for work in group:
            work.error = in_domain_words(error)
