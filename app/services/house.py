"""What every use case that changes a case has at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.audit import Action, Actor, AuditEntry, link
from app.domain.case import Case
from app.domain.report import Intake
from app.domain.retention import Retention
from app.ports import AddAudit, AddCase, AddEvent, Change, SaveCase, Store
from partners.events import Event, EventType
from partners.model import CaseId, EventId, PartnerId
from partners.ports import Clock, Ids, KeyRing, Place, Purpose


@dataclass(frozen=True, slots=True)
class House:
    """The store, the keys, time, names and rules that use cases share."""

    store: Store
    keys: KeyRing
    clock: Clock
    ids: Ids
    intake: Intake
    retention: Retention

    def case_tag(self, case_key: bytes) -> bytes:
        """The tag by which a case is found."""
        return self.keys.tag(Purpose.CASE_KEY, case_key)

    def audited(self, case: Case, actor: Actor, action: Action, reason: str) -> list[Change]:
        """The changed case, one version on, with the audit entry of the change.

        `case` carries the version it was loaded with; a new one (version 1) has an empty chain.
        """
        new = not case.audit_head
        number = 1 if new else case.version + 1
        entry = self._entry(case, number, actor, action, reason)
        saved = replace(case, version=number, audit_head=entry.digest)
        return [AddCase(saved) if new else SaveCase(saved), AddAudit(entry)]

    def _entry(
        self, case: Case, number: int, actor: Actor, action: Action, reason: str
    ) -> AuditEntry:
        def keyed(value: bytes) -> bytes:
            return self.keys.tag(Purpose.AUDIT, value)

        now = self.clock.now()
        return link(case.audit_head, case.id, number, now, actor, action, reason, keyed)

    def event(
        self,
        type: EventType,
        case_id: CaseId,
        items: Sequence[int],
        partner_id: PartnerId | None = None,
    ) -> AddEvent:
        """An outbox event about those items, for every partner concerned or for one."""
        event_id = EventId(self.ids.ordered("evt"))
        now = self.clock.now()
        return AddEvent(Event(event_id, type, case_id, tuple(items), now, partner_id))


def hashes_place(case_id: CaseId, number: int) -> Place:
    """Where an item's sealed hashes live."""
    return Place("items", "hashes", f"{case_id}|{number}")


def locations_place(case_id: CaseId, number: int) -> Place:
    """Where an item's sealed links and usernames live."""
    return Place("items", "locations", f"{case_id}|{number}")
