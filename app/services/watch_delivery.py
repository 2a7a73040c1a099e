"""What delivery tells us: counted, and where a person must know, told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.observability import Journal, LogEvent, Metrics
from app.services.manage_partners import ManagePartners
from app.services.mark_late import MarkLate
from partners.gate import BreakerState
from partners.model import Attempt, EndpointId, Message, MessageState, PartnerId

_LEVELS: Final = {
    BreakerState.CLOSED: 0,
    BreakerState.RAMP: 1,
    BreakerState.HALF_OPEN: 2,
    BreakerState.OPEN: 3,
}


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
        if message.state is MessageState.DELIVERED:
            age = attempt.started_at - message.created_at
            self.metrics.queue_age_seconds.observe(age.total_seconds() + attempt.duration_ms / 1000)

    def message_failed(self, message: Message, reason: str) -> None:
        """The operator hears of it, and the young person reads 'Late (a helper knows)'."""
        self.metrics.failed_messages.labels(reason).inc()
        self.journal.note(
            LogEvent.MESSAGE_FAILED,
            partner=message.partner_id,
            event_type=message.event_type,
            reason=reason,
        )
        self.late.given_up(message)

    def endpoint_disabled(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """It answered 410: nothing is posted there until an operator says so.

        Stored at once, on the sending thread: the very next message must not go there any more.
        """
        self.partners.disable_endpoint(partner_id, endpoint_id)
        self.journal.note(LogEvent.ENDPOINT_DISABLED, partner=partner_id, endpoint=endpoint_id)

    def breaker_changed(self, endpoint_id: EndpointId, state: BreakerState) -> None:
        """An endpoint is trusted less, or again."""
        self.metrics.breaker.labels(endpoint_id).set(_LEVELS[state])
        if state is BreakerState.OPEN:
            self.journal.note(LogEvent.BREAKER_OPENED, endpoint=endpoint_id)
        elif state is BreakerState.CLOSED:
            self.journal.note(LogEvent.BREAKER_CLOSED, endpoint=endpoint_id)

    def stumbled(self, error: str) -> None:
        """Delivery failed for a moment and goes on."""
        self.metrics.worker_failures.labels("sender").inc()
        self.journal.note(LogEvent.WORKER_FAILED, part="sender", error=error)
