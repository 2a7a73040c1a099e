"""All records of a kind, page by page, and records put back as they were.

The one place that scans the table, once for each kind: an operator moves a service that stands
still. Messages and events come in the order of their making.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from app.adapters.dynamodb import rows
from app.adapters.dynamodb.actions import NEW, Action, Translator, put, roster
from app.adapters.dynamodb.rows import Row, key_of, key_row
from app.adapters.dynamodb.table import Table, chunks
from app.adapters.dynamodb.writer import Writer
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    Change,
    PutItem,
    Record,
    Remember,
    Remembered,
    SpendToken,
)
from partners.events import Event
from partners.model import Attempt, Message, Notice, Partner

# How the partition and the sort key of a kind begin, and how a row of it is read.
_KINDS: Final[dict[type, tuple[str, str, Callable[[Row], Any]]]] = {
    Partner: ("partner#", "partner", rows.partner_of),
    Case: ("case#", "case", rows.case_of),
    Item: ("case#", "item#", rows.item_of),
    AuditEntry: ("case#", "audit#", rows.audit_of),
    Notice: ("notice#", "notice", rows.notice_of),
    Attempt: ("message#", "attempt#", rows.attempt_of),
    SpendToken: ("token#", "token", rows.token_of),
    Remembered: ("answer#", "answer", rows.answer_of),
}
_CHANGES: Final[dict[type, Callable[[Any], Change]]] = {
    Case: AddCase,
    Item: PutItem,
    AuditEntry: AddAudit,
    Event: AddEvent,
    Notice: AddNotice,
    Message: AddMessage,
    Remembered: Remember,
}
_AT_ONCE: Final = 40  # records in a transaction: some are two rows


@dataclass(frozen=True, slots=True)
class Archive:
    """All rows of a table. `keep_attempts` is how long AWS keeps an attempt."""

    table: Table
    writer: Writer
    translator: Translator
    keep_attempts: timedelta

    def records(self, kind: type, after: str, limit: int) -> tuple[list[Any], str | None]:
        """A page of a kind that has no order, perhaps an empty one, and the next one's cursor."""
        partition, sort, record_of = _KINDS[kind]
        scan: dict[str, Any] = {
            "FilterExpression": "begins_with(pk, :pk) AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": partition}, ":sk": {"S": sort}},
            "ConsistentRead": True,
            "Limit": limit,
        }
        if after:
            scan["ExclusiveStartKey"] = key_row(tuple(json.loads(after)))
        found = self.table.on_table("scan", **scan)
        last = found.get("LastEvaluatedKey")
        cursor = json.dumps(key_of(last)) if last else None
        return [record_of(row) for row in found["Items"]], cursor

    def restore(self, records: Sequence[Record]) -> None:
        """Put records in their order; what is there under the same name stays."""
        for some in chunks(records, _AT_ONCE):
            changes = [_change(one) for one in some if not isinstance(one, Partner | Attempt)]
            actions = [_if_absent(action) for action in self.translator.unit(changes)]
            self.writer.write(actions + [self._attempt(a) for a in some if isinstance(a, Attempt)])
            for partner in some:
                if isinstance(partner, Partner):
                    self.writer.write(_partner(partner))

    def _attempt(self, attempt: Attempt) -> Action:
        row = rows.attempt_item(attempt, self.translator.shards, self.keep_attempts)
        return put(row, NEW)


def _change(
    record: Case | Item | AuditEntry | Event | Notice | Message | Remembered | SpendToken,
) -> Change:
    return record if isinstance(record, SpendToken) else _CHANGES[type(record)](record)


def _if_absent(action: Action) -> Action:
    """The same for a row that is not there; left out where it is."""
    request = {**action.request, "ConditionExpression": NEW}
    return replace(action, request=request, refusal=None)


def _partner(partner: Partner) -> list[Action]:
    """With its place in the roster, and without if it stays."""
    row = put(rows.partner_item(partner), NEW, group=0, leads=True)
    return [row, *(replace(action, group=0) for action in roster([partner]))]
