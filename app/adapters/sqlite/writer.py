"""Writing by turns: everything that waits while one commit is on its way shares the next one.

A disk reaches a few thousand commits a second and many more rows. Whoever writes joins the group
that waits; the first of a group commits for all of it, and each is answered after that commit.
"""

from __future__ import annotations

import _thread
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from app.adapters.sqlite.connections import begin, in_domain_words
from app.adapters.sqlite.statements import INSERTS, NEWS, Step, run_in_order, run_sorted
from app.domain.errors import StoreUnavailable
from app.ports import News

_MANY = 4  # that share a commit; with fewer, giving way costs more than it brings


class Work:
    """Something to be done inside a commit. `error` is what kept it from being done."""

    __slots__ = ("act", "error", "news", "result")

    def __init__(self, act: Callable[[sqlite3.Connection], Any], news: Iterable[News] = ()) -> None:
        self.act = act
        self.news = news
        self.result: Any = None
        self.error: Exception | None = None

    def outcome(self) -> Any:
        """The result. Raises `error`."""
        if self.error is not None:
            raise self.error
        return self.result


class Unit(Work):
    """The changes of one `commit`. `mergeable` if only new rows, which may share statements."""

    __slots__ = ("mergeable", "steps")

    def __init__(self, steps: Sequence[Step]) -> None:
        statements = [statement for statement, _ in steps]
        super().__init__(self._run, [NEWS[one] for one in statements if one in NEWS])
        self.steps = steps
        self.mergeable = INSERTS.issuperset(statements)

    def _run(self, connection: sqlite3.Connection) -> None:
        run_in_order(connection, self.steps)


class Group:
    """Works that share a commit. All but the first wait for it at the `door`, `inside` of them.

    The door is an eventfd(2): opened for all at once, and without the interpreter lock. Threads
    woken by one that goes on would only queue for that lock and sleep again (decision 0020).
    """

    __slots__ = ("door", "inside", "works")

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.door = -1
        self.inside = 0


class Writer:
    """The turns of this process at writing one database file.

    `announce` is called after a commit that leaves something for a worker, by who committed.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock_timeout: float, announce: Callable[[News], None]
    ) -> None:
        self.commits = 0
        self._connection = connection
        self._lock_timeout = lock_timeout
        self._announce = announce
        self._turn = threading.Lock()  # to commit
        self._joining = threading.Lock()  # guards what follows
        self._answered = threading.Condition(self._joining)
        self._next = Group()
        self._groups = 0  # not answered
        self._closed = False

    def do(self, work: Work) -> Any:
        """Have the work done and wait until it is durable. Raises what it raised."""
        if threading.get_ident() == threading.main_thread().ident:
            # A signal's handler runs here and may raise at any step: others would wait for ever.
            _aside(self._do, work)
        else:
            self._do(work)
        return work.outcome()

    def close(self) -> None:
        """Finish what was accepted, refuse the rest, and close the connection."""
        with self._joining:
            self._closed = True
            self._answered.wait_for(lambda: not self._groups)
        self._connection.close()

    def _do(self, work: Work) -> None:
        try:
            group = self._join(work)
        except StoreUnavailable as refusal:
            work.error = refusal
            return
        if group.works[0] is work:
            self._lead(group)
        else:
            self._wait(group)

    def _join(self, work: Work) -> Group:
        with self._joining:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            group = self._next
            if not group.works:
                self._groups += 1
            elif group.door < 0:
                group.door = _door()
            group.works.append(work)
        return group

    def _wait(self, group: Group) -> None:
        _pass(group.door)
        with self._joining:
            group.inside -= 1
            last = not group.inside
        if last:
            os.close(group.door)

    def _lead(self, group: Group) -> None:
        with self._turn:
            with self._joining:
                self._next = Group()
            self._commit(group.works)
            # Who is at work joins the next group, rather than the one after it. Its leader then
            # goes as far as the disk, and those answered here work while the disk does.
            self._let_others_run(group)
        self._let_others_run(group)
        self._answer(group)
        for news in {news for work in group.works if not work.error for news in work.news}:
            with suppress(Exception):  # a listener's trouble is not the writer's
                self._announce(news)

    def _let_others_run(self, group: Group) -> None:
        if len(group.works) >= _MANY and self._next.works:
            os.sched_yield()

    def _answer(self, group: Group) -> None:
        with self._joining:
            group.inside = len(group.works) - 1
            self._groups -= 1
            if self._closed:
                self._answered.notify_all()
        if len(group.works) > 1:
            os.eventfd_write(group.door, len(group.works) - 1)

    def _commit(self, group: list[Work]) -> None:
        try:
            begin(self._connection, self._lock_timeout)
            self._do_all(group)
            self._connection.execute("COMMIT")
            self.commits += 1
        except BaseException as error:  # noqa: BLE001 - whatever it was, the writing goes on
            self._give_up(group, error)

    def _do_all(self, group: list[Work]) -> None:
        mergeable = [work for work in group if isinstance(work, Unit) and work.mergeable]
        if len(mergeable) < 2 or not self._merged(mergeable):
            mergeable = []
        merged = set(mergeable)
        for work in group:
            if work not in merged:
                work.error = self._alone(work)

    def _merged(self, units: list[Unit]) -> bool:
        """Whether all of them could be done together, as the first of a transaction; or none is."""
        try:
            run_sorted(self._connection, chain.from_iterable(unit.steps for unit in units))
        except Exception:  # noqa: BLE001 - one by one they will tell
            self._roll_back()
            begin(self._connection, self._lock_timeout)
            return False
        return True

    def _alone(self, work: Work) -> Exception | None:
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

    def _give_up(self, group: list[Work], error: BaseException) -> None:
        """Nothing of this group is stored, and each of its callers hears so."""
        self._roll_back()
        if not isinstance(error, Exception):
            error = StoreUnavailable("its commit was broken off")
        for work in group:
            work.error = in_domain_words(error)

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # SQLite has done so already
            self._connection.execute("ROLLBACK")


def _aside(do: Callable[[Work], None], work: Work) -> None:
    """Have another thread do it, and wait.

    Not by `Thread.start`: whoever is interrupted in there may keep a lock that the new thread then
    waits for, and the process for that thread. Of this one nobody waits for but us.
    """
    ended = threading.Lock()
    ended.acquire()

    def act() -> None:
        try:
            do(work)
        finally:
            ended.release()

    _thread.start_new_thread(act, ())
    ended.acquire()


def _door() -> int:
    """Each one that is counted in lets one through."""
    try:
        return os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
    except OSError as error:
        raise StoreUnavailable(f"nothing to wait at: {error.strerror}") from error


def _pass(door: int) -> None:
    """Wait until it is opened. A signal is no reason to leave (PEP 475 leaves this call out)."""
    while True:
        try:
            os.eventfd_read(door)
        except InterruptedError:
            continue
        return
