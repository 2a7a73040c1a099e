"""Messages that are due: found by the index, taken up and finished by conditional writes.

The index may lag behind the table. What it names is read from the table before it is believed, and
a claim holds only if the row is still as it was read: two workers never both have a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Final

from app.adapters.dynamodb import keys, rows
from app.adapters.dynamodb.actions import Action, Translator, put, update
from app.adapters.dynamodb.keys import Shelf
from app.adapters.dynamodb.rows import Row, value
from app.adapters.dynamodb.schema import BY_TIME
from app.adapters.dynamodb.table import Table, chunks
from app.adapters.dynamodb.writer import MOST_ACTIONS, Writer
from app.adapters.rows import micros, micros_if, moment
from app.domain.errors import StoreUnavailable
from partners.model import (
    Attempt,
    Delivered,
    DeliveryResult,
    Message,
    MessageId,
    MessageState,
)

_PENDING: Final = str(MessageState.PENDING)


@dataclass(frozen=True, slots=True)
class Delivery:
    """The due messages of a table. `keep_attempts` is how long AWS keeps an attempt."""

    table: Table
    writer: Writer
    translator: Translator
    keep_attempts: timedelta

    def due(self, now: datetime, limit: int) -> list[Message]:
        """Pending messages with `due_at <= now`, oldest first, as the index knows them."""
        if limit < 1:
            return []
        names = [
            self.table.indexed(
                BY_TIME, ("bucket", bucket), ("bucket_at", "<=", keys.at(micros(now))), limit
            )
            for bucket in self.translator.shards.all(Shelf.DUE)
        ]
        oldest = islice(merge(*names, key=lambda row: row["bucket_at"]["S"]), limit)
        return self._waiting(map(rows.key_of, oldest), now)

    def claim(self, ids: Iterable[MessageId], now: datetime, lease: timedelta) -> list[Message]:
        """Take up the messages with these ids that are pending and due, oldest first."""
        return self.take_up(self._waiting(map(keys.message, ids), now), now + lease)

    def take_up(self, messages: Sequence[Message], until: datetime) -> list[Message]:
        """The messages that nobody took up or moved since they were read, as they now are."""
        taken: list[Message] = []
        for some in chunks(messages, MOST_ACTIONS):
            claims = {keys.message(message.id): message for message in some}
            try:
                held = self.writer.write([self._claim(message, until) for message in some])
            except StoreUnavailable:
                if not taken:
                    raise
                break  # what is taken up already must not wait for its lease to end
            taken += [claims[action.key] for action in held]
        return [replace(message, claim=message.claim + 1, due_at=until) for message in taken]

    def next_due_at(self) -> datetime | None:
        """When the earliest pending message is due; None when nothing waits."""
        first = [
            row["bucket_at"]["S"]
            for bucket in self.translator.shards.all(Shelf.DUE)
            for row in self.table.indexed(BY_TIME, ("bucket", bucket), limit=1)
        ]
        return moment(int(min(first))) if first else None

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        """Store results, as many in a transaction as it holds, each whole or not at all."""
        for unit in _units(self._result(place, result) for place, result in enumerate(results)):
            self.writer.write(unit)

    def _waiting(self, names: Iterable[keys.Key], now: datetime) -> list[Message]:
        """Those that are pending and due, in the order they were due, then of their making."""
        found = self.table.get_all(names).values()
        waiting = [row for row in found if _is_due(row, micros(now))]
        waiting.sort(key=lambda row: (rows.number(row, "due_at"), row["seq"]["S"]))
        return [rows.message_of(row) for row in waiting]

    def _claim(self, message: Message, until: datetime) -> Action:
        after = replace(message, claim=message.claim + 1, due_at=until)
        changed = {
            "claim": value(after.claim),
            "due_at": value(micros(until)),
            **rows.due_place(after, self.translator.shards),
        }
        as_read = {
            "claim": message.claim,
            "due_at": micros_if(message.due_at),
            "state": _PENDING,
        }
        return update(keys.message(message.id), changed, as_read)

    def _result(self, group: int, result: DeliveryResult) -> list[Action]:
        """The message, if its claim stands, and with it the attempt and the notice's clock."""
        message = result.message
        due_at = micros_if(message.due_at)
        changed = {
            "state": value(str(message.state)),
            "attempts": value(message.attempts),
            "due_at": None if due_at is None else value(due_at),
            **self.translator.message_places(message),
        }
        fence = {"claim": message.claim}
        actions = [update(keys.message(message.id), changed, fence, group=group, leads=True)]
        if result.attempt is not None:
            actions.append(self._attempt(result.attempt, group))
        if result.delivered is not None:
            actions.append(self._clock(result.delivered, group))
        return actions

    def _attempt(self, attempt: Attempt, group: int) -> Action:
        row = rows.attempt_item(attempt, self.translator.shards, self.keep_attempts)
        return put(row, group=group)

    def _clock(self, delivered: Delivered, group: int) -> Action:
        """The notice's clock, which starts once."""
        deadline_at = micros_if(delivered.deadline_at)
        changed: Row = {"delivered_at": value(micros(delivered.at))}
        if deadline_at is not None:
            changed |= {"deadline_at": value(deadline_at)}
            changed |= rows.late_from(delivered.notice_id, deadline_at, self.translator.shards)
        unstarted = {"id": delivered.notice_id, "delivered_at": None}
        key = keys.notice(delivered.notice_id)
        return update(key, changed, unstarted, add={"version": value(1)}, group=group)


def _is_due(row: Row, now: int) -> bool:
    return row["state"]["S"] == _PENDING and "due_at" in row and rows.number(row, "due_at") <= now


def _units(results: Iterable[list[Action]]) -> Iterator[list[Action]]:
    """Results together, as long as a transaction holds them and touches no row twice."""
    unit: dict[keys.Key, Action] = {}
    for actions in results:
        fits = len(unit) + len(actions) <= MOST_ACTIONS
        if not fits or any(action.key in unit for action in actions):
            yield list(unit.values())
            unit = {}
        unit |= {action.key: action for action in actions}
    if unit:
        yield list(unit.values())
