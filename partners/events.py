"""Every event a partner can be told of, and the outbox record that causes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from partners.model import CaseId, EventId, PartnerId


class EventType(StrEnum):
    """The `type` of a webhook. Described for partners in docs/PARTNERS.md."""

    REMOVAL_REQUESTED = "removal.requested"
    REMOVAL_UPDATED = "removal.updated"
    REMOVAL_WITHDRAWN = "removal.withdrawn"
    REMOVAL_REMINDER = "removal.reminder"
    ENDPOINT_VERIFICATION = "endpoint.verification"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to some items of a case, committed with the change that caused it.

    Ids and numbers only: a hash never stands in the outbox. `partner_id` narrows it to one partner.
    """

    id: EventId
    type: EventType
    case_id: CaseId
    items: tuple[int, ...]
    at: datetime
    partner_id: PartnerId | None = None
