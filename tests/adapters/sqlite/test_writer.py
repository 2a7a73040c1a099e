"""Who writes, when, and what becomes of the others if it does not end well."""

from __future__ import annotations

import gc
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.adapters.sqlite.writer import Work, Writer
from app.domain.errors import StoreUnavailable
from app.ports import News
from tests.adapters.sqlite.numbers import opened, put, stored

THREADS = 24


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return opened(tmp_path / "store.db")


@pytest.fixture
def writer(connection: sqlite3.Connection) -> Iterator[Writer]:
    writer = Writer(connection, 10.0, lambda _: None)
    yield writer
    writer.close()


def doors() -> int:
    """How many eventfds this process has open."""
    gc.collect()  # other tests' senders have some as well
    links = []
    for name in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(name.readlink())
    return sum("eventfd" in str(link) for link in links)


def until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


class Held:
    """A work in a commit that goes on only when it is let, so that others come to wait."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Event(), threading.Event()

    def work(self) -> Work:
        def act(_: sqlite3.Connection) -> None:
            self.begun.set()
            assert self.let.wait(10)

        return Work(act)


@contextmanager
def a_commit_under_way(writer: Writer, pool: ThreadPoolExecutor) -> Iterator[Held]:
    held = Held()
    first = pool.submit(writer.do, held.work())
    assert held.begun.wait(10)
    try:
        yield held
    finally:
        held.let.set()
        first.result(10)


def waiting(writer: Writer) -> int:
    return len(writer._next.works)


def test_each_hears_of_its_own_work(writer: Writer, tmp_path: Path) -> None:
    """Twice the same number is refused, whichever group the two are in."""
    before = doors()
    told: list[tuple[int, object]] = []

    def put_all(start: int) -> None:
        for number in range(start, start + 400, 2):
            try:
                told.append((number, writer.do(put(number))))
            except sqlite3.IntegrityError as refused:
                told.append((number, refused))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put_all, [n % 2 + n // 4 * 400 for n in range(THREADS)]))
    fine = [number for number, result in told if result == number]
    assert len(told) == THREADS * 200
    assert len(fine) == len(told) // 2
    assert set(fine) == {number for number, _ in told} == stored(tmp_path / "store.db")
    assert writer.commits < len(told)
    assert doors() == before


def test_those_who_wait_share_the_next_commit(writer: Writer) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        with a_commit_under_way(writer, pool):
            results = [pool.submit(writer.do, put(number)) for number in range(THREADS - 1)]
            until(lambda: waiting(writer) == THREADS - 1)
            assert not any(one.done() for one in results)
        assert [one.result(10) for one in results] == list(range(THREADS - 1))
    assert writer.commits == 2


def test_nobody_is_answered_before_the_commit(tmp_path: Path, writer: Writer) -> None:
    """Not even who waits for another thread's."""
    late: list[int] = []

    def put_and_look(number: int) -> None:
        writer.do(put(number))
        if number not in stored(tmp_path / "store.db"):
            late.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put_and_look, range(400)))
    assert late == []


def refused(result: Any) -> bool:
    return isinstance(result.exception(10), StoreUnavailable)


def test_who_is_interrupted_leaves_nobody_waiting(writer: Writer, tmp_path: Path) -> None:
    """As by somebody's Ctrl-C in a command, which comes to the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    with ThreadPoolExecutor(4) as pool, a_commit_under_way(writer, pool) as held:
        others: list[Any] = []

        def join_and_interrupt() -> None:
            until(lambda: waiting(writer) == 1)
            others.extend(pool.submit(writer.do, put(number)) for number in (1, 2))
            until(lambda: waiting(writer) == 3)
            signal.pthread_kill(main, signal.SIGINT)

        joining = threading.Thread(target=join_and_interrupt)
        joining.start()
        with pytest.raises(KeyboardInterrupt):
            writer.do(put(0))
        joining.join()
        held.let.set()
        assert [one.result(10) for one in others] == [1, 2]
    assert stored(tmp_path / "store.db") == {0, 1, 2}


def test_a_signal_that_raises_nothing_lets_nobody_in(writer: Writer, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with ThreadPoolExecutor(4) as pool, a_commit_under_way(writer, pool) as held:
            results = [pool.submit(writer.do, put(number)) for number in range(3)]
            until(lambda: waiting(writer) == 3)
            for thread in threading.enumerate():
                assert thread.ident is not None
                signal.pthread_kill(thread.ident, signal.SIGUSR1)
            time.sleep(0.05)
            assert not any(one.done() for one in results)
            held.let.set()
            assert [one.result(10) for one in results] == [0, 1, 2]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert stored(tmp_path / "store.db") == {0, 1, 2}


def test_an_act_that_would_end_its_thread_ends_nobodys(writer: Writer, tmp_path: Path) -> None:
    def end(_: sqlite3.Connection) -> None:
        raise SystemExit

    with ThreadPoolExecutor(4) as pool:
        with a_commit_under_way(writer, pool):
            results = [pool.submit(writer.do, work) for work in (put(1), Work(end), put(2))]
            until(lambda: waiting(writer) == 3)
        assert all(map(refused, results))
    assert writer.do(put(3)) == 3
    assert stored(tmp_path / "store.db") == {3}


def test_without_a_file_descriptor_left_only_who_would_wait_is_refused(
    writer: Writer, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ThreadPoolExecutor(4) as pool, a_commit_under_way(writer, pool) as held:
        first = pool.submit(writer.do, put(1))
        until(lambda: waiting(writer) == 1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            assert refused(pool.submit(writer.do, put(2)))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        third = pool.submit(writer.do, put(3))
        until(lambda: waiting(writer) == 2)
        held.let.set()
        assert (first.result(10), third.result(10)) == (1, 3)
    assert stored(tmp_path / "store.db") == {1, 3}


def test_closing_waits_for_what_was_accepted_and_refuses_the_rest(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    writer = Writer(connection, 10.0, lambda _: None)
    with ThreadPoolExecutor(8) as pool:
        with a_commit_under_way(writer, pool) as held:
            accepted = [pool.submit(writer.do, put(number)) for number in range(4)]
            until(lambda: waiting(writer) == 4)
            closing = pool.submit(writer.close)
            until(lambda: writer._closed)
            with pytest.raises(StoreUnavailable, match="closed"):
                writer.do(put(9))
            assert not closing.done()
            held.let.set()
        assert [one.result(10) for one in accepted] == list(range(4))
        closing.result(10)
    writer.close()
    assert stored(tmp_path / "store.db") == set(range(4))


def test_the_bell_is_rung_once_for_a_group_and_after_its_commit(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    rung: list[set[int]] = []
    writer = Writer(connection, 10.0, lambda _: rung.append(stored(tmp_path / "store.db")))
    with ThreadPoolExecutor(4) as pool, a_commit_under_way(writer, pool):
        for number in range(3):
            pool.submit(writer.do, Work(put(number).act, [News.EVENTS]))
        until(lambda: waiting(writer) == 3)
    writer.close()
    assert rung == [{0, 1, 2}]
