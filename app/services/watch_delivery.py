"""What delivery tells us: counted, and where a person must know, told."""

from __future__ import annotations

from dataclasses import dataclass

from app.observability import Journal, LogEvent, Metrics
from app.services.manage_partners import ManagePartners
from app.services.mark_late import MarkLate
from partners.model import Attempt, EndpointId, Message, PartnerId


@dataclass(frozen=True, slots=True)
class WatchDelivery:
    """Gives partners.ports.DeliveryObserver."""

    partners: ManagePartners
    late: MarkLate
    metrics: Metrics
    journal: Journal

    def attempted(self, message: Message, attempt: Attempt) -> None:
        """Count a post by its result: a status class or a short error word."""
        result = attempt.error or f"{(attempt.status or 0) // 100}xx"
        self.metrics.attempts.labels(result).inc()

    def message_failed(self, message: Message, reason: str) -> None:
        """The operator hears of it, and the young person reads 'Late (a helper knows)'."""
        self.journal.note(
            LogEvent.MESSAGE_FAILED,
            partner=message.partner_id,
            event_type=message.event_type,
            reason=reason,
        )
        if message.notice_id is not None:
            self.late.undeliverable(message.notice_id)

    def endpoint_disabled(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """It answered 410: nothing is posted there until an operator says so."""
        self.partners.disable_endpoint(partner_id, endpoint_id)
        self.journal.note(LogEvent.ENDPOINT_DISABLED, partner=partner_id)

    def stumbled(self, error: str) -> None:
        """Delivery failed for a moment and goes on."""
        self.metrics.worker_failures.labels("sender").inc()
        self.journal.note(LogEvent.WORKER_FAILED, part="sender", error=error)
