"""Everything the service keeps, in one DynamoDB table: for more than one machine can take.

keys.md draws the table and every way into it. Reads are of the table as it is now; an index only
finds names, because it may lag behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from app.adapters.dynamodb import keys, rows
from app.adapters.dynamodb.actions import STAMP, Translator, delete, update
from app.adapters.dynamodb.archive import Archive
from app.adapters.dynamodb.delivery import Delivery
from app.adapters.dynamodb.expiry import Expiry
from app.adapters.dynamodb.keys import Shards, Shelf
from app.adapters.dynamodb.rows import Row
from app.adapters.dynamodb.schema import BY_KIN, BY_ROLL, BY_TIME
from app.adapters.dynamodb.table import Table
from app.adapters.dynamodb.writer import Writer
from app.adapters.rows import micros
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.ports import (
    AddEvent,
    AddMessage,
    CaseFile,
    Change,
    News,
    Record,
    Remembered,
    SaveMessage,
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

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

S = TypeVar("S", bound=Record)

_CLOCKS_DIFFER: Final = timedelta(hours=1)

_NEWS: dict[type, News] = {
    AddEvent: News.EVENTS,
    AddMessage: News.MESSAGES,
    SaveMessage: News.MESSAGES,
}
_NO_PARTNERS = frozenset({"pk", "sk", STAMP})


class DynamoStore:
    """`app.ports.Store` on one table, shared by any number of threads, processes and functions.

    `announce` is called after a commit that leaves work for a worker: it must only ring a bell.
    `keep_attempts` is how long AWS keeps an attempt; `patience` (seconds) how long one call is
    tried again before StoreUnavailable; `shards` as in `keys.Shards`. Makes no call by itself.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        announce: Callable[[News], None] = lambda _: None,
        *,
        keep_attempts: timedelta = timedelta(days=30),
        patience: float = 5.0,
        shards: int = 8,
    ) -> None:
        self._table = Table(client, table, patience)
        self._announce = announce
        self._shards = Shards(shards)
        self._translator = Translator(self._shards)
        self._writer = Writer(self._table)
        self._delivery = Delivery(self._table, self._writer, self._translator, keep_attempts)
        self._expiry = Expiry(self._table, self._writer, self._shards)
        self._archive = Archive(self._table, self._writer, self._translator, keep_attempts)
        self._known_partners: dict[str, Partner] = {}
        self._rolls: frozenset[str] = frozenset()

    def commit(self, *changes: Change) -> None:
        """As `UnitOfWork.commit`. ValueError for more than 100 changes.

        Of two changes to one row in a unit the second is refused, unless it only repeats the first.
        """
        require_few(changes)
        actions = self._translator.unit(changes)
        self._enroll(change.message for change in changes if isinstance(change, AddMessage))
        self._writer.write(actions)
        for news in {_NEWS[type(change)] for change in changes if type(change) in _NEWS}:
            with suppress(Exception):  # a listener's trouble is not the writer's
                self._announce(news)

    def case_by_key(self, key_tag: bytes) -> Case | None:
        """The case that this key tag opens, or None."""
        row = self._table.get(keys.case_key(key_tag))
        return None if row is None else self.case(CaseId(row["case_id"]["S"]))

    def file_by_key(self, key_tag: bytes) -> CaseFile | None:
        """That case with its items and notices, or None.

        They stand in its partition from the case itself on.
        """
        row = self._table.get(keys.case_key(key_tag))
        if row is None:
            return None
        partition, first = keys.case(row["case_id"]["S"])
        found = self._table.partition(partition, since=first)
        if not found or rows.key_of(found[0])[1] != first:
            return None
        items = [rows.item_of(row) for row in found if row["sk"]["S"].startswith(keys.ITEMS)]
        lists = [row for row in found if row["sk"]["S"].startswith(keys.NOTICES)]
        return CaseFile(rows.case_of(found[0]), items, self._listed(lists))

    def case(self, case_id: CaseId) -> Case | None:
        """One case, or None."""
        row = self._table.get(keys.case(case_id))
        return None if row is None else rows.case_of(row)

    def items(self, case_id: CaseId) -> list[Item]:
        """The items of a case, by number."""
        found = self._table.partition(keys.case(case_id)[0], keys.ITEMS)
        return [rows.item_of(row) for row in found]

    def notice(self, notice_id: NoticeId) -> Notice | None:
        """One notice, or None."""
        row = self._table.get(keys.notice(notice_id))
        return None if row is None else rows.notice_of(row)

    def items_named(
        self, names: Iterable[tuple[CaseId, int]]
    ) -> dict[tuple[CaseId, int], tuple[Case, Item]]:
        """The items of these cases and numbers, each with its case; unknown ones are left out."""
        wanted = {name: (keys.case(name[0]), keys.item(*name)) for name in names}
        found = self._table.get_all(key for both in wanted.values() for key in both)
        return {
            name: (rows.case_of(found[case]), rows.item_of(found[item]))
            for name, (case, item) in wanted.items()
            if case in found and item in found
        }

    def notices_named(self, ids: Iterable[NoticeId]) -> dict[NoticeId, Notice]:
        """The notices with these ids; unknown ids are left out."""
        found = map(rows.notice_of, self._table.get_all(map(keys.notice, ids)).values())
        return {notice.id: notice for notice in found}

    def notices_of(self, case_id: CaseId) -> list[Notice]:
        """What each partner was told and said of the case, by item and partner."""
        return self._listed(self._table.partition(keys.case(case_id)[0], keys.NOTICES))

    def duplicates(self, duplicate_tag: bytes) -> int:
        """How many items that are not scrubbed carry this tag, as the index knows them."""
        return self._table.counted(BY_KIN, ("kin", keys.kin_of_duplicate(duplicate_tag)))

    def cases_to_sweep(self, now: datetime, limit: int) -> list[Case]:
        """Cases whose `sweep_at` has come, longest overdue first."""
        found = self._shelf(Shelf.SWEEP, "<=", keys.at(micros(now)), limit)
        cases = [rows.case_of(row) for row in found]
        overdue = [case for case in cases if case.sweep_at <= now]
        return sorted(overdue, key=lambda case: case.sweep_at)

    def notices_overdue(self, now: datetime, limit: int) -> list[Notice]:
        """Notices past `deadline_at`: not decided, not withdrawn, not yet marked late."""
        found = self._shelf(Shelf.LATE, "<", keys.at(micros(now)), limit)
        notices = [rows.notice_of(row) for row in found]
        for notice in notices:
            if not rows.may_be_late(notice):
                self._take_off_shelf(notice)
        overdue = [
            (notice.deadline_at, notice)
            for notice in notices
            if notice.deadline_at is not None
            and notice.deadline_at < now
            and rows.may_be_late(notice)
        ]
        return [notice for _, notice in sorted(overdue, key=lambda pair: pair[0])]

    def purge_case(self, case_id: CaseId) -> None:
        """Delete the case with all that hangs on it, its open events too; the audit stays."""
        self._expiry.purge(case_id)

    def remembered(self, tag: bytes, now: datetime) -> Remembered | None:
        """The answer of that key, unless it has expired: then its row goes, and its key is free."""
        row = self._table.get(keys.answer(tag))
        if row is None:
            return None
        kept = rows.answer_of(row)
        if kept.expires_at > now:
            return kept
        end = delete(keys.answer(tag), {"expires_at": rows.number(row, "expires_at")})
        self._writer.write([end])
        return None

    def audit_of(self, case_id: CaseId) -> list[AuditEntry]:
        """The entries of one case, first to last."""
        found = self._table.partition(keys.case(case_id)[0], keys.CHAIN)
        return [rows.audit_of(row) for row in found]

    def events_named(self, ids: Iterable[EventId]) -> list[Event | Unreadable]:
        """The events with these ids that are not yet expanded: a stream tells a relay of them."""
        names = [keys.event(event_id) for event_id in dict.fromkeys(ids)]
        found = self._table.get_all(names)
        return [rows.event_if_readable(found[name]) for name in names if name in found]

    def open_events(self, limit: int) -> list[Event | Unreadable]:
        """Events not yet expanded into messages, oldest first; a bad row stands among them."""
        return [rows.event_if_readable(row) for row in self._shelf(Shelf.OPEN, ">", "0", limit)]

    def partner(self, partner_id: PartnerId) -> Partner | None:
        """One partner, or None."""
        row = self._table.get(keys.partner(partner_id))
        return None if row is None else self._partner(row)

    def partners_named(self, ids: Iterable[PartnerId]) -> dict[PartnerId, Partner]:
        """The partners with these ids; unknown ids are left out."""
        found = map(self._partner, self._table.get_all(map(keys.partner, ids)).values())
        return {partner.id: partner for partner in found}

    def partners(self) -> tuple[Partner, ...]:
        """All of them, oldest first. The roster tells which of them were changed since."""
        roster = self._table.get(keys.ROSTER) or {}
        versions = {
            name: int(version["N"]) for name, version in roster.items() if name not in _NO_PARTNERS
        }
        known = self._known_partners
        old = [n for n, version in versions.items() if n not in known or known[n].version < version]
        read = self._table.get_all(keys.partner(name) for name in old)
        newest = {row["id"]["S"]: self._partner(row) for row in read.values()}
        found = [newest.get(name) or known.get(name) for name in versions]
        there = [partner for partner in found if partner is not None]
        return tuple(sorted(there, key=lambda partner: (partner.created_at, partner.id)))

    def claim_due(self, now: datetime, limit: int, lease: timedelta) -> list[Message]:
        """As `MessageStore.claim_due`. Writes nothing while nothing is due."""
        return self._delivery.take_up(self._delivery.due(now, limit), now + lease)

    def claim(self, ids: Sequence[MessageId], now: datetime, lease: timedelta) -> list[Message]:
        """Take up the messages with these ids that are pending and due, oldest first."""
        return self._delivery.claim(ids, now, lease)

    def due(self, now: datetime, limit: int) -> list[Message]:
        """Pending messages with `due_at <= now`, oldest first. Nothing is taken up."""
        return self._delivery.due(now, limit)

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        """Store results, each whole. One whose `claim` is not the stored one is dropped whole."""
        self._delivery.finish(results)

    def next_due_at(self) -> datetime | None:
        """When the earliest pending message is due; None when nothing waits."""
        return self._delivery.next_due_at()

    def message(self, message_id: MessageId) -> Message | None:
        """One message, or None."""
        row = self._table.get(keys.message(message_id))
        return None if row is None else rows.message_of(row)

    def messages(
        self,
        *,
        partner_id: PartnerId | None = None,
        states: Sequence[MessageState] = (),
        made_since: datetime | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Message], str | None]:
        """As `MessageStore.messages`. ValueError for a cursor that is none of ours.

        A message whose state changed since the index heard of it is left out: a page may be short.
        """
        since = max(keys.Sequence.checked(after), _stored_since(made_since))
        names = [partner_id] if partner_id is not None else sorted(self._enrolled())
        wanted = frozenset(states or MessageState)
        rolls = [keys.roll(name, state) for name in names for state in sorted(wanted)]
        listed = list(islice(self._rolled(rolls, since, limit + 1), limit + 1))
        found = self._table.get_all(map(rows.key_of, listed[:limit]))
        page = sorted(found.values(), key=lambda row: row["seq"]["S"])
        messages = [
            message
            for message in map(rows.message_of, page)
            if message.state in wanted and not (made_since and message.created_at < made_since)
        ]
        return messages, listed[limit - 1]["seq"]["S"] if len(listed) > limit else None

    def attempts(self, message_id: MessageId) -> list[Attempt]:
        """The tries at one message, first to last."""
        found = self._table.partition(keys.message(message_id)[0], keys.ATTEMPTS)
        return [rows.attempt_of(row) for row in found]

    def drop_expired(self, now: datetime, attempts_before: datetime, audit_before: datetime) -> int:
        """As `Janitor.drop_expired`; the number of rows that AWS had not dropped by itself."""
        return self._expiry.drop(now, attempts_before, audit_before)

    def records(self, kind: type[S], after: str, limit: int) -> tuple[list[S], str | None]:
        """As `Archive.records`. A page may be empty and have a next one."""
        if kind is Message:
            page, cursor = self.messages(after=after, limit=limit)
            return cast("list[S]", page), cursor
        if kind is Event:
            return cast("tuple[list[S], str | None]", self._events(after, limit))
        return self._archive.records(kind, after, limit)

    def restore(self, records: Sequence[Record]) -> None:
        """As `Archive.restore`, some at a time."""
        self._enroll(record for record in records if isinstance(record, Message))
        self._archive.restore(records)

    def ping(self) -> None:
        """Raise StoreUnavailable unless a read goes through."""
        self._table.answers()

    def close(self) -> None:
        """What comes later is StoreUnavailable. The client is its maker's to close."""
        self._table.close()

    def _listed(self, lists: Iterable[Row]) -> list[Notice]:
        """The notices that these lists name, by item and partner."""
        found = self.notices_named(NoticeId(name) for row in lists for name in row["names"]["SS"])
        return sorted(found.values(), key=lambda one: (one.item_number, one.partner_id))

    def _shelf(self, shelf: Shelf, comparison: str, bound: str, limit: int) -> Iterator[Row]:
        """The rows that the index by time has on a shelf, as they are now, in its order."""
        names = [rows.key_of(row) for row in self._first(shelf, comparison, bound, limit)]
        found = self._table.get_all(names)
        return (found[name] for name in names if name in found)

    def _first(self, shelf: Shelf, comparison: str, bound: str, limit: int) -> list[Row]:
        if limit < 1:
            return []
        sort = ("bucket_at", comparison, bound)
        buckets = [
            self._table.indexed(BY_TIME, ("bucket", bucket), sort, limit)
            for bucket in self._shards.all(shelf)
        ]
        return list(islice(merge(*buckets, key=lambda row: row["bucket_at"]["S"]), limit))

    def _take_off_shelf(self, notice: Notice) -> None:
        """A decision that came before the first delivery was stored leaves a notice there."""
        end = {"bucket": None, "bucket_at": None}
        self._writer.write([update(keys.notice(notice.id), end, {"version": notice.version})])

    def _events(self, after: str, limit: int) -> tuple[list[Event], str | None]:
        listed = self._first(Shelf.OPEN, ">", keys.Sequence.checked(after) or "0", limit + 1)
        found = self._table.get_all(map(rows.key_of, listed[:limit]))
        events = [rows.event_of(found[n]) for n in map(rows.key_of, listed) if n in found]
        return events, listed[limit - 1]["bucket_at"]["S"] if len(listed) > limit else None

    def _rolled(self, rolls: list[str], since: str, limit: int) -> Iterator[Row]:
        found = [
            self._table.indexed(BY_ROLL, ("roll", roll), ("seq", ">", since), limit)
            for roll in rolls
        ]
        return merge(*found, key=lambda row: row["seq"]["S"])

    def _enroll(self, messages: Iterable[Message]) -> None:
        """A partner's first message: from then on its rolls are among all rolls."""
        names = {str(message.partner_id) for message in messages}
        if names <= self._rolls or names <= self._enrolled():
            return
        add = {"names": {"SS": sorted(names)}}
        self._writer.write([update(keys.ROLLS, {}, add=add)])
        self._rolls |= names

    def _enrolled(self) -> frozenset[str]:
        """The partners that have messages."""
        row = self._table.get(keys.ROLLS) or {}
        self._rolls = frozenset(row.get("names", {}).get("SS", ()))
        return self._rolls

    def _partner(self, row: Any) -> Partner:
        """The partner of a row, decoded once for each of its versions."""
        known = self._known_partners.get(row["id"]["S"])
        if known is not None and known.version == rows.number(row, "version"):
            return known
        partner = rows.partner_of(row)
        self._known_partners[partner.id] = partner
        return partner


def _stored_since(made_since: datetime | None) -> str:
    """Where in the order to begin: what is made is stored later, by clocks that differ."""
    if made_since is None:
        return "0"
    return keys.Sequence.of(micros(made_since - _CLOCKS_DIFFER))
