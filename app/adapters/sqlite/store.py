"""Everything the service keeps, in one SQLite file: the embedded default.

Reads go through a pool of connections that cannot write; all writing goes through one connection.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from app.adapters import rows
from app.adapters.rows import micros, micros_if
from app.adapters.sqlite import archive, delivery
from app.adapters.sqlite import statements as sql
from app.adapters.sqlite.connections import (
    create_file,
    in_domain_words,
    open_reader,
    open_writer,
)
from app.adapters.sqlite.expiry import forget_some, purge
from app.adapters.sqlite.schema import OVERDUE
from app.adapters.sqlite.writer import Unit, Work, Writer
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.domain.errors import StoreUnavailable
from app.ports import (
    CaseFile,
    Change,
    News,
    Record,
    Remembered,
    Unreadable,
    require_few,
)
from partners.events import Event
from partners.model import (
    Attempt,
    CaseId,
    DeliveryResult,
    EventId,
    Message,
    MessageId,
    MessageState,
    Notice,
    NoticeId,
    Partner,
    PartnerId,
)

R = TypeVar("R")
S = TypeVar("S", bound=Record)

_CASE = f"SELECT {sql.CASE_COLUMNS} FROM cases"
_NOTICE = f"SELECT {sql.NOTICE_COLUMNS} FROM notices"
_MESSAGE = f"SELECT {sql.MESSAGE_COLUMNS} FROM messages"


class SqliteStore:
    """`app.ports.Store` on one file, shared by any number of threads and a few processes.

    `announce` is called after a commit that leaves work for a worker, by the thread that made it:
    it must only ring a bell. `lock_timeout` (seconds) is how long another process may hold the
    file before StoreUnavailable. Raises StoreUnavailable if the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        announce: Callable[[News], None] = lambda _: None,
        lock_timeout: float = 10.0,
    ) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._idle_readers: deque[sqlite3.Connection] = deque()
        self._known_partners: dict[str, Partner] = {}
        self._closed = False
        try:
            create_file(path)
            connection = open_writer(path, lock_timeout)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the database: {error.strerror}") from error
        except sqlite3.Error as error:
            raise in_domain_words(error) from error
        self._writer = Writer(connection, lock_timeout, announce)

    @property
    def commits(self) -> int:
        """How many transactions were committed: fewer than units, where units shared one."""
        return self._writer.commits

    def commit(self, *changes: Change) -> None:
        """As `UnitOfWork.commit`. ValueError for more than 100 changes."""
        require_few(changes)
        if changes:
            self._writer.do(Unit([sql.step(change) for change in changes]))

    def case_by_key(self, key_tag: bytes) -> Case | None:
        """The case that this key tag opens, or None."""
        return self._one(rows.case_of, f"{_CASE} WHERE key_tag = ?", key_tag)

    def file_by_key(self, key_tag: bytes) -> CaseFile | None:
        """That case with its items and notices, or None."""
        case = self.case_by_key(key_tag)
        if case is None:
            return None
        return CaseFile(case, self.items(case.id), self.notices_of(case.id))

    def case(self, case_id: CaseId) -> Case | None:
        """One case, or None."""
        return self._one(rows.case_of, f"{_CASE} WHERE id = ?", case_id)

    def items(self, case_id: CaseId) -> list[Item]:
        """The items of a case, by number."""
        query = f"SELECT {sql.ITEM_COLUMNS} FROM items WHERE case_id = ? ORDER BY number"
        return self._all(rows.item_of, query, case_id)

    def notice(self, notice_id: NoticeId) -> Notice | None:
        """One notice, or None."""
        return self._one(rows.notice_of, f"{_NOTICE} WHERE id = ?", notice_id)

    def items_named(
        self, names: Iterable[tuple[CaseId, int]]
    ) -> dict[tuple[CaseId, int], tuple[Case, Item]]:
        """The items of these cases and numbers, each with its case; unknown ones are left out."""
        wanted = dict.fromkeys(names)
        found = {
            (case.id, item.number): (case, item)
            for case_id in dict.fromkeys(case_id for case_id, _ in wanted)
            if (case := self.case(case_id)) is not None
            for item in self.items(case_id)
        }
        return {name: found[name] for name in wanted if name in found}

    def notices_named(self, ids: Iterable[NoticeId]) -> dict[NoticeId, Notice]:
        """The notices with these ids; unknown ids are left out."""
        found = map(self.notice, dict.fromkeys(ids))
        return {notice.id: notice for notice in found if notice is not None}

    def notices_of(self, case_id: CaseId) -> list[Notice]:
        """What each partner was told and said of the case, by item and partner."""
        query = f"{_NOTICE} WHERE case_id = ? ORDER BY item_number, partner_id"
        return self._all(rows.notice_of, query, case_id)

    def duplicates(self, duplicate_tag: bytes) -> int:
        """How many items that are not scrubbed carry this tag."""
        query = "SELECT count(*) FROM items WHERE duplicate_tag = ? AND sealed_hashes IS NOT NULL"
        (found,) = self._select(query, duplicate_tag)[0]
        return int(found)

    def cases_to_sweep(self, now: datetime, limit: int) -> list[Case]:
        """Cases whose `sweep_at` has come, longest overdue first."""
        query = f"{_CASE} WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?"
        return self._all(rows.case_of, query, micros(now), limit)

    def notices_overdue(self, now: datetime, limit: int) -> list[Notice]:
        """Notices past `deadline_at`: not decided, not withdrawn, not yet marked late."""
        query = f"{_NOTICE} WHERE {OVERDUE} AND deadline_at < ? ORDER BY deadline_at LIMIT ?"
        return self._all(rows.notice_of, query, micros(now), limit)

    def purge_case(self, case_id: CaseId) -> None:
        """Delete the case with all that hangs on it, its open events too; the audit stays."""
        self._writer.do(Work(lambda connection: purge(connection, case_id)))

    def remembered(self, tag: bytes, now: datetime) -> Remembered | None:
        """The answer of that key, unless it has expired."""
        query = f"SELECT {sql.ANSWER_COLUMNS} FROM answers WHERE tag = ? AND expires_at > ?"
        return self._one(rows.remembered_of, query, tag, micros(now))

    def audit_of(self, case_id: CaseId) -> list[AuditEntry]:
        """The entries of one case, first to last."""
        query = f"SELECT {sql.AUDIT_COLUMNS} FROM audit WHERE case_id = ? ORDER BY number"
        return self._all(rows.audit_of, query, case_id)

    def open_events(self, limit: int) -> list[Event | Unreadable]:
        """Events not yet expanded into messages, oldest first; a bad row stands among them."""
        query = f"SELECT {sql.EVENT_COLUMNS} FROM events ORDER BY seq LIMIT ?"
        return self._all(rows.event_if_readable, query, limit)

    def events_named(self, ids: Iterable[EventId]) -> list[Event | Unreadable]:
        """The events with these ids that are not yet expanded, in this order."""
        query = f"SELECT {sql.EVENT_COLUMNS} FROM events WHERE id = ?"
        found = [self._one(rows.event_if_readable, query, name) for name in dict.fromkeys(ids)]
        return [event for event in found if event is not None]

    def partner(self, partner_id: PartnerId) -> Partner | None:
        """One partner, or None."""
        found = self._partners("WHERE id = ?", partner_id)
        return found[0] if found else None

    def partners_named(self, ids: Iterable[PartnerId]) -> dict[PartnerId, Partner]:
        """The partners with these ids; unknown ids are left out."""
        found = map(self.partner, dict.fromkeys(ids))
        return {partner.id: partner for partner in found if partner is not None}

    def partners(self) -> tuple[Partner, ...]:
        """All of them, oldest first."""
        return self._partners("ORDER BY created_at, id")

    def claim_due(self, now: datetime, limit: int, lease: timedelta) -> list[Message]:
        """As `MessageStore.claim_due`. Writes nothing while nothing is due."""
        due_at = self.next_due_at()
        if limit < 1 or due_at is None or due_at > now:
            return []
        due = (micros(now), limit, micros(now + lease))
        taken = self._writer.do(Work(lambda connection: delivery.claim(connection, *due)))
        return list(map(rows.message_of, taken))

    def claim(self, ids: Sequence[MessageId], now: datetime, lease: timedelta) -> list[Message]:
        """Take up the messages with these ids that are pending and due, oldest first."""
        if not ids:
            return []
        due = (list(ids), micros(now), micros(now + lease))
        taken = self._writer.do(Work(lambda connection: delivery.claim_named(connection, *due)))
        return list(map(rows.message_of, taken))

    def due(self, now: datetime, limit: int) -> list[Message]:
        """Pending messages with `due_at <= now`, oldest first. Nothing is taken up."""
        return self._all(rows.message_of, delivery.SELECT_DUE, micros(now), max(0, limit))

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        """Store results in one commit. One whose `claim` is not the stored one is dropped whole."""
        if results:
            outcomes = [delivery.outcome(result) for result in results]
            self._writer.do(Work(lambda connection: delivery.finish(connection, outcomes)))

    def next_due_at(self) -> datetime | None:
        """When the earliest pending message is due; None when nothing waits."""
        (due_at,) = self._select(delivery.NEXT_DUE)[0]
        return rows.moment_if(due_at)

    def message(self, message_id: MessageId) -> Message | None:
        """One message, or None."""
        return self._one(rows.message_of, f"{_MESSAGE} WHERE id = ?", message_id)

    def messages(
        self,
        *,
        partner_id: PartnerId | None = None,
        states: Sequence[MessageState] = (),
        made_since: datetime | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Message], str | None]:
        """As `MessageStore.messages`. ValueError for a cursor that is none of ours."""
        since, place = micros_if(made_since) or 0, delivery.place_of(after)
        query, values = delivery.page_query(partner_id, states, since, place, limit + 1)
        found = self._select(query, *values)
        page = [rows.message_of(row[1:]) for row in found[:limit]]
        return page, str(found[limit - 1][0]) if len(found) > limit else None

    def attempts(self, message_id: MessageId) -> list[Attempt]:
        """The tries at one message, first to last."""
        query = f"SELECT {sql.ATTEMPT_COLUMNS} FROM attempts WHERE message_id = ? ORDER BY number"
        return self._all(rows.attempt_of, query, message_id)

    def drop_expired(self, now: datetime, attempts_before: datetime, audit_before: datetime) -> int:
        """As `Janitor.drop_expired`, a thousand rows a commit so that reports get between."""
        limits = (micros(now), micros(attempts_before), micros(audit_before))
        dropped = 0
        while True:
            some: int = self._writer.do(Work(lambda connection: forget_some(connection, *limits)))
            if some == 0:
                return dropped
            dropped += some

    def records(self, kind: type[S], after: str, limit: int) -> tuple[list[S], str | None]:
        """As `Archive.records`."""
        query, values = archive.page_query(kind, after, limit)
        return archive.page(kind, self._select(query, *values), limit)

    def restore(self, records: Sequence[Record]) -> None:
        """As `Archive.restore`, in one commit."""
        self._writer.do(Work(lambda connection: archive.restore(connection, records)))

    def ping(self) -> None:
        """Raise StoreUnavailable unless a read and an empty commit go through."""
        self._select("SELECT 1 FROM cases LIMIT 1")
        self._writer.do(Work(lambda _: None))

    def close(self) -> None:
        """Finish what was accepted and stop; what comes later is StoreUnavailable."""
        self._closed = True
        while self._idle_readers:
            self._idle_readers.pop().close()
        self._writer.close()  # the last to go: SQLite then folds its log into the file

    def _partners(self, which: str, *values: str) -> tuple[Partner, ...]:
        """The partners of a query, each decoded once for each of its versions."""
        found = self._select(f"SELECT id, version FROM partners {which}", *values)
        return tuple(self._partner(partner_id, version) for partner_id, version in found)

    def _partner(self, partner_id: str, version: int) -> Partner:
        known = self._known_partners.get(partner_id)
        if known is not None and known.version == version:
            return known
        query = f"SELECT {sql.PARTNER_COLUMNS} FROM partners WHERE id = ?"
        partner = rows.partner_of(self._select(query, partner_id)[0])
        self._known_partners[partner_id] = partner
        return partner

    def _one(self, record_of: Callable[[Any], R], query: str, *values: Any) -> R | None:
        found = self._select(query, *values)
        return record_of(found[0]) if found else None

    def _all(self, record_of: Callable[[Any], R], query: str, *values: Any) -> list[R]:
        return [record_of(row) for row in self._select(query, *values)]

    def _select(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query. No read is left open: an open one would keep the log growing."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            reader = self._take_reader()
            try:
                return reader.execute(query, values).fetchall()
            finally:
                self._give_back(reader)
        except sqlite3.Error as error:
            raise in_domain_words(error) from error

    def _take_reader(self) -> sqlite3.Connection:
        try:
            return self._idle_readers.pop()
        except IndexError:
            return open_reader(self._path, self._lock_timeout)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        if self._closed:
            reader.close()
        else:
            self._idle_readers.append(reader)
