"""How old is what partners have yet to receive: for alarms, read from the store now and then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.observability import Metrics
from app.services.house import House
from partners.model import MessageState, PartnerId


@dataclass(frozen=True, slots=True)
class MeasureQueue:
    """Sets the gauges of the queue."""

    house: House
    metrics: Metrics

    def __call__(self) -> None:
        """One round: the most overdue message, and each partner's oldest."""
        now = self.house.clock.now()
        due_at = self.house.store.next_due_at()
        self.metrics.oldest_due_seconds.set(_age(due_at, now))
        for partner in self.house.store.partners():
            age = _age(self._oldest(partner.id), now)
            self.metrics.oldest_undelivered_seconds.labels(partner.id).set(age)

    def _oldest(self, partner_id: PartnerId) -> datetime | None:
        """When the oldest message was made that waits for that partner."""
        page, _ = self.house.store.messages(
            partner_id=partner_id, states=(MessageState.PENDING,), limit=1
        )
        return page[0].created_at if page else None


def _age(at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds()) if at is not None else 0.0
