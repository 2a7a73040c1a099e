"""Records as DynamoDB items and back: the columns of docs/DATA-MODEL.md, and the keys beside them.

A column without a value is left out. Times are whole microseconds, enumerations their words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from app.adapters import rows as columns
from app.adapters.dynamodb import keys
from app.adapters.dynamodb.keys import Key, Shards, Shelf
from app.adapters.dynamodb.schema import TTL_ATTRIBUTE
from app.adapters.rows import micros
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.ports import Remembered, SpendToken, Unreadable
from partners.events import Event
from partners.model import DECISIONS, Attempt, Message, MessageState, Notice, Partner

Value = str | int | bytes | None
Row = dict[str, Any]  # by attribute name, {"S" | "N" | "B" | "SS": ...}


def value(one: str | int | bytes) -> dict[str, Any]:
    """One attribute. UnicodeEncodeError for text that is none (a lone surrogate)."""
    if isinstance(one, str):
        one.encode()
        return {"S": one}
    if isinstance(one, bytes):
        return {"B": one}
    return {"N": str(one)}


def plain(attribute: dict[str, Any] | None) -> Value:
    """The value of an attribute; None where there is none."""
    if attribute is None:
        return None
    ((kind, stored),) = attribute.items()
    return int(stored) if kind == "N" else stored


def named(names: Iterable[str], values: Iterable[Value]) -> Row:
    """Columns as attributes."""
    return {name: value(one) for name, one in zip(names, values, strict=True) if one is not None}


def row_of(names: Iterable[str], row: Row) -> tuple[Value, ...]:
    """Attributes as columns."""
    return tuple(plain(row.get(name)) for name in names)


def number(row: Row, name: str) -> int:
    """A whole number of a row, 0 where there is none."""
    return int(row[name]["N"]) if name in row else 0


def key_of(row: Row) -> Key:
    """Where a row stands."""
    return row["pk"]["S"], row["sk"]["S"]


def key_row(key: Key) -> Row:
    """A key as attributes."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def due_place(message: Message, shards: Shards) -> Row:
    """Its place among what is due: none unless it is pending and has a time."""
    if message.state is not MessageState.PENDING or message.due_at is None:
        return {"bucket": None, "bucket_at": None}
    return _place(shards, Shelf.DUE, message.id, micros(message.due_at))


def late_place(notice: Notice, shards: Shards) -> Row:
    """Its place among what may become late; none once it cannot."""
    if notice.deadline_at is None or not may_be_late(notice):
        return {}
    return late_from(notice.id, micros(notice.deadline_at), shards)


def late_from(notice_id: str, deadline_at: int, shards: Shards) -> Row:
    """The place of a notice that becomes late at that time."""
    return _place(shards, Shelf.LATE, notice_id, deadline_at)


def may_be_late(notice: Notice) -> bool:
    """Whether its deadline still means something: not decided, not withdrawn, not told of."""
    decided = notice.feedback.word in DECISIONS
    return not decided and notice.late_at is None and notice.withdrawn_at is None


def _place(shards: Shards, shelf: Shelf, name: str, since: int) -> Row:
    return {"bucket": value(shards.of(shelf, name)), "bucket_at": value(keys.at(since))}


def _expiry(since: int, kept: timedelta = timedelta(0)) -> Row:
    """When AWS may drop the row, in whole seconds, never before its time."""
    return {TTL_ATTRIBUTE: value(-(-since // 1_000_000) + round(kept.total_seconds()) + 1)}


def case_item(case: Case, shards: Shards) -> Row:
    """A case, among those to be swept."""
    return {
        **key_row(keys.case(case.id)),
        **named(columns.CASE, columns.case_row(case)),
        **_place(shards, Shelf.SWEEP, case.id, micros(case.sweep_at)),
    }


def item_item(item: Item) -> Row:
    """An item, beside its duplicates while it has hashes."""
    row = {
        **key_row(keys.item(item.case_id, item.number)),
        **named(columns.ITEM, columns.item_row(item)),
    }
    if item.duplicate_tag is not None and item.sealed_hashes is not None:
        row["kin"] = value(keys.kin_of_duplicate(item.duplicate_tag))
    return row


def audit_item(entry: AuditEntry, shards: Shards) -> Row:
    """An audit entry; the first of a chain stands for it among what is forgotten one day."""
    row = {
        **key_row(keys.audit(entry.case_id, entry.number)),
        **named(columns.AUDIT, columns.audit_row(entry)),
    }
    if entry.number == 1:
        row |= _place(shards, Shelf.CHAINS, entry.case_id, micros(entry.at))
    return row


def event_item(event: Event, shards: Shards, seq: str) -> Row:
    """An open event, in the order of its making."""
    return {
        **key_row(keys.event(event.id)),
        **named(columns.EVENT, columns.event_row(event)),
        "bucket": value(shards.of(Shelf.OPEN, event.id)),
        "bucket_at": value(seq),
        "kin": value(keys.kin_of_case(event.case_id)),
    }


def notice_item(notice: Notice, shards: Shards) -> Row:
    """A notice, among what may become late."""
    return {
        **key_row(keys.notice(notice.id)),
        **named(columns.NOTICE, columns.notice_row(notice)),
        **late_place(notice, shards),
    }


def message_row(message: Message) -> Row:
    """The columns of a message, even those without a value."""
    return dict.fromkeys(columns.MESSAGE) | named(columns.MESSAGE, columns.message_row(message))


def message_item(message: Message, shards: Shards, seq: str) -> Row:
    """A message: in its partner's roll, beside its notice's others, and among what is due."""
    row = {
        **key_row(keys.message(message.id)),
        **named(columns.MESSAGE, columns.message_row(message)),
        **due_place(message, shards),
        "roll": value(keys.roll(message.partner_id, message.state)),
        "seq": value(seq),
    }
    if message.notice_id is not None:
        row["kin"] = value(keys.kin_of_notice(message.notice_id))
    return {name: stored for name, stored in row.items() if stored is not None}


def attempt_item(attempt: Attempt, shards: Shards, kept: timedelta) -> Row:
    """An attempt, which is forgotten `kept` after it began."""
    since = micros(attempt.started_at)
    return {
        **key_row(keys.attempt(attempt.message_id, attempt.number)),
        **named(columns.ATTEMPT, columns.attempt_row(attempt)),
        **_place(shards, Shelf.ATTEMPTS, attempt.message_id, since),
        **_expiry(since, kept),
    }


def partner_item(partner: Partner) -> Row:
    """A partner."""
    return {
        **key_row(keys.partner(partner.id)),
        **named(columns.PARTNER, columns.partner_row(partner)),
    }


def answer_item(kept: Remembered, shards: Shards) -> Row:
    """An answer, until it expires."""
    key, since = keys.answer(kept.tag), micros(kept.expires_at)
    return {
        **key_row(key),
        **named(columns.ANSWER, columns.remembered_row(kept)),
        **_place(shards, Shelf.ANSWERS, key[0], since),
        **_expiry(since),
    }


def token_item(token: SpendToken, shards: Shards) -> Row:
    """A spent token, until it expires."""
    key, since = keys.token(token.tag), micros(token.expires_at)
    return {
        **key_row(key),
        **named(columns.TOKEN, columns.token_row(token)),
        **_place(shards, Shelf.TOKENS, key[0], since),
        **_expiry(since),
    }


def case_of(row: Row) -> Case:
    """The case of a row."""
    return columns.case_of(row_of(columns.CASE, row))


def item_of(row: Row) -> Item:
    """The item of a row."""
    return columns.item_of(row_of(columns.ITEM, row))


def audit_of(row: Row) -> AuditEntry:
    """The audit entry of a row."""
    return columns.audit_of(row_of(columns.AUDIT, row))


def event_of(row: Row) -> Event:
    """The event of a row."""
    return columns.event_of(row_of(columns.EVENT, row))


def event_if_readable(row: Row) -> Event | Unreadable:
    """The event of a row, or what is left of one that says nothing."""
    return columns.event_if_readable(row_of(columns.EVENT, row))


def notice_of(row: Row) -> Notice:
    """The notice of a row."""
    return columns.notice_of(row_of(columns.NOTICE, row))


def message_of(row: Row) -> Message:
    """The message of a row."""
    return columns.message_of(row_of(columns.MESSAGE, row))


def attempt_of(row: Row) -> Attempt:
    """The attempt of a row."""
    return columns.attempt_of(row_of(columns.ATTEMPT, row))


def partner_of(row: Row) -> Partner:
    """The partner of a row."""
    return columns.partner_of(row_of(columns.PARTNER, row))


def answer_of(row: Row) -> Remembered:
    """The kept answer of a row."""
    return columns.remembered_of(row_of(columns.ANSWER, row))


def token_of(row: Row) -> SpendToken:
    """The spent token of a row."""
    return columns.token_of(row_of(columns.TOKEN, row))
