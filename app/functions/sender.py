"""Posts to partners the messages that a queue names, if they are due.

A queue comes at least once and in any order, so it is only listened to: what is taken up, when and
how often, the store decides. A message goes back to the queue only if its outcome could not even be
stored, or if no id can be read from it; such poison ends among the dead letters.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from app.bootstrap import engine, foundation, queue
from app.domain.errors import QueueUnavailable, StoreUnavailable
from app.functions.failing import silently
from app.observability import Journal, LogEvent
from app.ports import Queue
from app.services.mark_late import MarkLate
from app.settings import Settings
from partners.delivery import DeliveryEngine
from partners.model import Message, MessageId, MessageState
from partners.ports import Clock

# For what is on its way to end (15 s at most), to be stored, and to be told of.
RESERVE: Final = timedelta(seconds=25)
_PAUSE: Final = 1.0  # seconds before what could not be stored is tried again
_ID: Final = re.compile(r"msg_[0-9A-Za-z]{1,64}", re.ASCII)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sending:
    """One sender: what it learns of endpoints stays from call to call."""

    engine: DeliveryEngine
    queue: Queue
    late: MarkLate
    clock: Clock
    journal: Journal
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, records: Sequence[Record], left: timedelta) -> list[str]:
        """Deliver within the time left; the ids of the records that are to come again."""
        named = {record["messageId"]: _message_id(record) for record in records}
        poison = [name for name, message_id in named.items() if message_id is None]
        until = self.clock.now() + max(left - RESERVE, timedelta(0))
        try:
            stored = self._deliver([id_ for id_ in named.values() if id_ is not None], until)
        except StoreUnavailable as fault:
            self.journal.failure(LogEvent.WORKER_FAILED, fault, part="sender")
            return list(named)
        self._afterwards(stored)
        return poison

    def _deliver(self, ids: Sequence[MessageId], until: datetime) -> list[Message]:
        """Raises StoreUnavailable if that lasts until there is no time left."""
        while True:
            try:
                return self.engine.deliver(ids, until)
            except StoreUnavailable:
                if self.clock.now() >= until:
                    raise
                self.sleep(_PAUSE)

    def _afterwards(self, stored: Sequence[Message]) -> None:
        """Mark what was given up, and wake a sender for what is due again soon."""
        waiting = [message for message in stored if message.state is MessageState.PENDING]
        try:
            self.late.settle()
            self.queue.remind(waiting, self.clock.now())
        except (QueueUnavailable, StoreUnavailable) as fault:
            # All of it is stored: the purge finds what was given up, the sweeper what is due.
            self.journal.failure(LogEvent.WORKER_FAILED, fault, part="sender")


@silently("sender")
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of one of the two queues; what failed comes again, and no more."""
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    failed = _sending()(event.get("Records", []), left)
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def _message_id(record: Record) -> MessageId | None:
    """The message that a record names, or None for one that is none of ours."""
    body = str(record.get("body", ""))
    return MessageId(body) if _ID.fullmatch(body) else None


@cache
def _sending() -> Sending:
    base = foundation(Settings.from_env(os.environ), takes_reports=False)
    house = base.services.house
    told = queue(base.settings)
    return Sending(engine(base), told, base.services.mark_late, house.clock, base.journal)
