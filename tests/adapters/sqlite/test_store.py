"""What is particular to the SQLite store: its file, its shared commits, a full disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.adapters.file_keys import FileKeyRing, create_root_key
from app.adapters.sqlite import schema
from app.adapters.sqlite.store import SqliteStore
from app.domain.case import Case
from app.domain.errors import CaseKeyTaken, Contested, StoreUnavailable
from app.ports import AddCase, AddEvent, AddMessage, News, PutItem, SaveCase, SavePartner
from partners.model import CaseId, Endpoint, EndpointId, PartnerId, SealedKey, SigningScheme
from partners.ports import Place
from tests.contract.samples import (
    NOW,
    a_case,
    a_message,
    a_partner,
    a_report,
    an_event,
    an_item,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[Callable[..., SqliteStore]]:
    opened: list[SqliteStore] = []

    def open_it(**options: object) -> SqliteStore:
        opened.append(SqliteStore(path, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The file's write lock, held as another process would."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def _while_locked(path: Path, store: SqliteStore, acts: list[Callable[[], object]]) -> list[object]:
    """The results of acts that all wait for the file at once; a raised error is a result too."""

    def result(future: Future[object]) -> object:
        return future.exception() or future.result()

    with ThreadPoolExecutor(len(acts)) as pool:
        with _locked(path):
            futures = [pool.submit(act) for act in acts]
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                time.sleep(0.01)
        return [result(future) for future in futures]


def test_units_that_wait_share_a_commit(path: Path, open_store: Callable[..., SqliteStore]) -> None:
    store = open_store()
    before = store.commits
    reports = [a_report() for _ in range(40)]
    acts = [lambda changes=changes: store.commit(*changes) for _, changes in reports]
    assert _while_locked(path, store, acts) == [None] * 40  # type: ignore[arg-type]
    assert store.commits - before <= 2
    assert all(store.case(case.id) == case for case, _ in reports)
    assert len(store.open_events(100)) == 40


def test_a_refused_unit_falls_alone(path: Path, open_store: Callable[..., SqliteStore]) -> None:
    store = open_store()
    taken = a_case()
    store.commit(AddCase(taken))
    before = store.commits
    reports = [a_report() for _ in range(20)]
    thief, saver = a_case(key_tag=taken.key_tag), replace(taken, version=7)
    acts: list[Callable[[], object]] = [
        lambda changes=changes: store.commit(*changes)  # type: ignore[misc]
        for _, changes in reports
    ]
    acts.insert(9, lambda: store.commit(AddEvent(an_event(thief)), AddCase(thief)))
    acts.insert(5, lambda: store.commit(AddEvent(an_event(taken)), SaveCase(saver)))
    acts.insert(3, lambda: store.purge_case(thief.id))
    results = _while_locked(path, store, acts)
    assert [type(one) for one in results if one is not None] == [Contested, CaseKeyTaken]
    assert store.commits - before <= 2
    assert all(store.case(case.id) == case for case, _ in reports)
    assert len(store.open_events(100)) == 20
    assert store.case(taken.id) == taken


def test_a_worker_is_told_of_events_and_messages_only(
    open_store: Callable[..., SqliteStore],
) -> None:
    told = threading.Event()
    store = open_store(announce=lambda _: told.set())

    def tells(*changes: object) -> bool:
        told.clear()
        store.commit(*changes)  # type: ignore[arg-type]
        return told.wait(0.2)

    case = a_case()
    assert tells(AddEvent(an_event(case)))
    assert tells(AddMessage(a_message()))
    assert not tells(AddCase(case))
    told.clear()
    with pytest.raises(CaseKeyTaken):
        store.commit(AddEvent(an_event(case)), AddCase(case))
    assert not told.wait(0.2)


def test_a_worker_that_stumbles_does_not_stop_the_writer(
    open_store: Callable[..., SqliteStore],
) -> None:
    def stumble(_: News) -> None:
        raise RuntimeError

    store = open_store(announce=stumble)
    for _ in range(2):
        case, changes = a_report()
        store.commit(*changes)
        assert store.case(case.id) == case


def test_only_the_owner_may_read_the_files(
    path: Path, open_store: Callable[..., SqliteStore]
) -> None:
    before = os.umask(0)
    try:
        store = open_store()
        store.commit(AddCase(a_case()))
        files = sorted(path.parent.iterdir())
    finally:
        os.umask(before)
    assert [file.name for file in files] == ["store.db", "store.db-shm", "store.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_every_commit_reaches_the_disk(open_store: Callable[..., SqliteStore]) -> None:
    connection = open_store()._writer._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_closing_finishes_what_was_accepted(path: Path) -> None:
    store = SqliteStore(path)
    reports = [a_report() for _ in range(20)]
    acts: list[Callable[[], object]] = [
        lambda changes=changes: store.commit(*changes)  # type: ignore[misc]
        for _, changes in reports
    ]
    acts.append(lambda: time.sleep(0.1) or store.close())  # type: ignore[func-returns-value]
    results = _while_locked(path, store, acts)
    again = SqliteStore(path)
    for (case, _), result in zip(reports, results, strict=False):
        assert (again.case(case.id) == case) == (result is None)
    assert results.count(None) == 21
    again.close()


def test_a_lock_that_lasts_is_said_and_survived(
    path: Path, open_store: Callable[..., SqliteStore]
) -> None:
    store = open_store(lock_timeout=0.1)
    case, changes = a_report()
    with _locked(path):
        with pytest.raises(StoreUnavailable):
            store.commit(*changes)
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert store.case(case.id) is None
    store.ping()
    store.commit(*changes)
    assert store.case(case.id) == case


def test_a_full_disk_is_said_and_survived(open_store: Callable[..., SqliteStore]) -> None:
    store = open_store()
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    kept: list[Case] = []

    def fill() -> None:
        for _ in range(1000):
            kept.append(a_case())
            store.commit(
                AddCase(kept[-1]),
                PutItem(an_item(kept[-1], sealed_hashes=bytes(5000))),
                AddEvent(an_event(kept[-1])),
            )

    with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
        fill()
    case = kept.pop()
    assert kept
    assert store.case(case.id) is None
    assert [store.case(one.id) for one in kept] == kept
    assert len(store.open_events(1000)) == len(kept)

    store.purge_case(kept[0].id)
    case, changes = a_report()
    store.commit(*changes)
    connection.execute(f"PRAGMA max_page_count = {pages + 2000}")
    case, changes = a_report()
    store.commit(*changes, PutItem(an_item(case, 2, sealed_hashes=bytes(50_000))))
    assert store.case(case.id) == case


def test_a_full_disk_fails_every_unit_of_the_group_and_the_next_ones_go_on(
    path: Path, open_store: Callable[..., SqliteStore]
) -> None:
    store = open_store()
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 10}")
    cases = [a_case() for _ in range(20)]
    acts: list[Callable[[], object]] = [
        lambda case=case: store.commit(  # type: ignore[misc]
            AddCase(case), PutItem(an_item(case, sealed_hashes=bytes(9000)))
        )
        for case in cases
    ]
    results = _while_locked(path, store, acts)
    assert {type(one) for one in results} <= {type(None), StoreUnavailable}
    assert any(results)
    for case, result in zip(cases, results, strict=True):
        assert (store.case(case.id) is not None) == (result is None)
        assert len(store.items(case.id)) == (result is None)
    connection.execute(f"PRAGMA max_page_count = {pages + 2000}")
    case, changes = a_report()
    store.commit(*changes)
    assert store.case(case.id) == case


@pytest.mark.parametrize("rubbish", [b"not a database, but long enough to be read" * 200, b"x" * 9])
def test_a_file_that_is_no_database_is_refused(path: Path, rubbish: bytes) -> None:
    path.write_bytes(rubbish)
    with pytest.raises(StoreUnavailable, match="SQLITE_NOTADB"):
        SqliteStore(path)
    assert path.read_bytes() == rubbish


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "no" / "store.db")


def test_a_database_of_a_newer_program_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        SqliteStore(path)


def test_a_migration_keeps_what_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, case = SqliteStore(path), a_case()
    store.commit(AddCase(case))
    store.close()
    later = "CREATE TABLE later (id TEXT);\nINSERT INTO later SELECT id FROM cases;\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    for _ in range(2):
        store = SqliteStore(path)
        assert store._select("SELECT id FROM later") == [(case.id,)]
        assert store.case(case.id) == case
        store.close()


def test_a_migration_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = schema.MIGRATIONS
    bad = "CREATE TABLE later (id TEXT);\nINSERT INTO nowhere VALUES (1);\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*good, bad))
    with pytest.raises(StoreUnavailable):
        SqliteStore(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()
    monkeypatch.setattr(schema, "MIGRATIONS", good)
    SqliteStore(path).close()


def test_a_released_migration_is_as_databases_ran_it() -> None:
    released = ["ac5be88f4403e373", "e5fff78efb4f13cc"]
    digests = [sha256(script.encode()).hexdigest()[:16] for script in schema.MIGRATIONS]
    assert digests[: len(released)] == released


INDEX_OF: list[tuple[str, Callable[[SqliteStore], object]]] = [
    ("cases_to_sweep", lambda store: store.cases_to_sweep(NOW, 9)),
    ("items_by_duplicate", lambda store: store.duplicates(b"tag")),
    ("notices_by_case", lambda store: store.notices_of(CaseId("case_1"))),
    ("notices_overdue", lambda store: store.notices_overdue(NOW, 9)),
    ("messages_due", lambda store: store.due(NOW, 9)),
    ("messages_due", lambda store: store.next_due_at()),
    ("messages_by_partner", lambda store: store.messages(partner_id=PartnerId("ptn_1"))),
]


@pytest.mark.parametrize(("index", "read"), INDEX_OF)
def test_a_read_is_answered_by_its_index(
    index: str,
    read: Callable[[SqliteStore], object],
    open_store: Callable[..., SqliteStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store()
    select, plans = store._select, list[str]()

    def explained(query: str, *values: object) -> list[Any]:
        plans.extend(step[-1] for step in select(f"EXPLAIN QUERY PLAN {query}", *values))
        return select(query, *values)

    monkeypatch.setattr(store, "_select", explained)
    read(store)
    looked = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH"))]
    of_tables = [plan for plan in looked if "subquery" not in plan.lower()]
    assert of_tables
    assert all(plan.startswith("SEARCH") and f" {index} " in plan for plan in of_tables)


def _bytes_at_rest(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob("store.db*")))


def test_what_is_sealed_is_nowhere_in_the_files(path: Path, tmp_path: Path) -> None:
    create_root_key(tmp_path / "root-keys")
    keys, store, case = FileKeyRing(tmp_path / "root-keys"), SqliteStore(path), a_case()
    marker = b"f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
    sealed = keys.seal(Place("items", "sealed_hashes", f"{case.id}/1"), marker)
    secret = keys.seal(Place("partners", "keys", "end_first/key_1"), b"whsec_" + marker)
    key = SealedKey("key_1", secret, NOW)
    endpoint = Endpoint(EndpointId("end_first"), None, SigningScheme.V1, (key,))
    item = an_item(case, sealed_hashes=sealed)
    store.commit(AddCase(case), PutItem(item), SavePartner(a_partner(endpoints=(endpoint,))))
    written = _bytes_at_rest(path)
    assert sealed in written
    assert marker not in written
    assert bytes.fromhex(marker.decode()) not in written

    store.commit(PutItem(replace(item, sealed_hashes=None, duplicate_tag=None)))
    store.close()
    left = _bytes_at_rest(path)
    assert sealed[:40] not in left
    assert sealed[-40:] not in left
