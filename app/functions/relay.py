"""Outbox events that the table's stream tells of become messages, and senders are told of those.

The stream tells at least once and only names events; whichever is not open any more is done. The
sweeper finds what a stream lost, and messages that no queue was told of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from app.bootstrap import foundation, queue
from app.domain.errors import QueueUnavailable, StoreUnavailable
from app.functions.failing import silently
from app.observability import Journal, LogEvent, Metrics
from app.ports import AddMessage, Change, EventStore, Queue, Unreadable
from app.services.expand_event import ExpandEvents
from app.settings import Settings
from partners.events import Event
from partners.model import EventId, Message

_EVENT: Final = "event#"  # how the partition key of an open event begins


@dataclass(frozen=True, slots=True)
class Relay:
    """Expands events and announces their messages."""

    store: EventStore
    expand: ExpandEvents
    queue: Queue
    metrics: Metrics
    journal: Journal

    def named(self, event_ids: Sequence[EventId]) -> int:
        """Expand those of these that are open; how many. Raises StoreUnavailable."""
        return self.these(self.store.events_named(event_ids))

    def these(self, events: Sequence[Event | Unreadable]) -> int:
        """Expand these; how many could be. Raises StoreUnavailable."""
        done = self.expand.these(events)
        self.metrics.expanded.inc(len(done))
        for event_id, error in self.expand.stuck.items():
            self.journal.note(LogEvent.EVENT_STUCK, id=event_id, error=error)
        self._announce([message for _, changes in done for message in _messages(changes)])
        return len(done)

    def _announce(self, messages: Sequence[Message]) -> None:
        try:
            self.queue.announce(messages)
        except QueueUnavailable as fault:
            # Stored and due: the sweeper finds them. Their events are no longer there to repeat.
            self.journal.failure(LogEvent.WORKER_FAILED, fault, part="relay")


@silently("relay")
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Records of the stream, in their order; from the first that failed on they come again."""
    records = event.get("Records", [])
    try:
        _relay().named(event_ids(records))
    except StoreUnavailable as fault:
        _relay().journal.failure(LogEvent.WORKER_FAILED, fault, part="relay")
        first = records[0]["dynamodb"]["SequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": first}]}
    return {"batchItemFailures": []}


def event_ids(records: Sequence[Mapping[str, Any]]) -> list[EventId]:
    """The new events that these records name; whatever else the stream tells of is left out."""
    keys = [r["dynamodb"]["Keys"]["pk"]["S"] for r in records if r.get("eventName") == "INSERT"]
    return [EventId(key.removeprefix(_EVENT)) for key in keys if key.startswith(_EVENT)]


def _messages(changes: Sequence[Change]) -> list[Message]:
    return [change.message for change in changes if isinstance(change, AddMessage)]


@cache
def _relay() -> Relay:
    base = foundation(Settings.from_env(os.environ), takes_reports=False)
    told = queue(base.settings)
    return Relay(base.store, base.services.expand_events, told, base.metrics, base.journal)
