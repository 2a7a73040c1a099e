"""Once a minute: what is due and nobody was told of, deadlines that passed, events left lying.

The safety net under stream and queues: whatever they lost is in the store, and found here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from app.bootstrap import foundation, queue
from app.functions.failing import FunctionFailed, silently
from app.functions.relay import Relay
from app.observability import Journal, LogEvent
from app.ports import Queue, Unreadable
from app.services.catalogue import Services
from app.settings import Settings

LEFT_LYING: Final = timedelta(minutes=1)  # an event is with the relay until then
OVERDUE: Final = timedelta(seconds=30)  # a message is with the queue until then
MOST_EVENTS: Final = 500
MOST_MESSAGES: Final = 5_000
# While so many reminders lie there, more of them would only say the same again.
ENOUGH: Final = 5_000
RESUME_EVERY: Final = 15  # minutes: it reads all that waits


class SweepFailed(FunctionFailed):
    """Some part of a sweep failed; the log says which. The next minute tries again."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """One round of everything that nobody else does in time."""

    services: Services
    relay: Relay
    queue: Queue
    journal: Journal

    def __call__(self) -> None:
        """One round; a part that fails keeps no other from its turn. Raises SweepFailed."""
        parts: dict[str, Callable[[], object]] = {
            "events": self.expand_left_lying,
            "reminders": self.remind,
            "deadlines": self.services.mark_late.overdue,
            "resumed": self.resume,
        }
        failed = [name for name, part in parts.items() if not self._do(name, part)]
        if failed:
            raise SweepFailed(", ".join(failed))

    def expand_left_lying(self) -> int:
        """Events that the stream has not brought to their end in time; how many."""
        before = self.services.house.clock.now() - LEFT_LYING
        found = self.services.house.store.open_events(MOST_EVENTS)
        old = [event for event in found if isinstance(event, Unreadable) or event.at <= before]
        return self.relay.these(old)

    def remind(self) -> int:
        """Wake senders for what is due; how many messages they were told of."""
        if self.queue.reminders() >= ENOUGH:
            return 0
        now = self.services.house.clock.now()
        due = self.services.house.store.due(now - OVERDUE, MOST_MESSAGES)
        self.queue.remind(due, now)
        return len(due)

    def resume(self) -> int:
        """Messages set aside at the very moment their endpoint came back; how many."""
        if self.services.house.clock.now().minute % RESUME_EVERY:
            return 0
        return self.services.manage_endpoints.resume_waiting()

    def _do(self, name: str, part: Callable[[], object]) -> bool:
        try:
            part()
        except Exception as fault:  # noqa: BLE001 - the other parts must have their turn
            self.journal.failure(LogEvent.WORKER_FAILED, fault, part=name)
            return False
        return True


@silently("sweeper")
def handler(_event: dict[str, Any], _context: Any) -> None:
    """One round."""
    _sweeper()()


@cache
def _sweeper() -> Sweeper:
    base = foundation(Settings.from_env(os.environ), takes_reports=False)
    services, told = base.services, queue(base.settings)
    relay = Relay(base.store, services.expand_events, told, base.metrics, base.journal)
    return Sweeper(services, relay, told, base.journal)
