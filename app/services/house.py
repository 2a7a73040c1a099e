"""What every use case that changes a case has at hand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from app.domain.audit import Action, Actor, AuditEntry, link
from app.domain.case import Case
from app.domain.errors import Contested
from app.domain.report import Intake
from app.domain.retention import Retention
from app.ports import AddAudit, AddCase, AddEvent, Change, SaveCase, Store
from partners.events import Event, EventType
from partners.model import CaseId, EventId, PartnerId
from partners.ports import Clock, Ids, KeyRing, Place, Purpose

R = TypeVar("R")

TRIES: Final = 20
_PAUSE: Final = 0.002  # seconds: about one commit
_LONGEST_PAUSE: Final = 0.064


def insist(act: Callable[[], R]) -> R:
    """What `act` gives. It loads, changes and commits; when another change comes between, it
    begins anew from what is stored then. Raises Contested when that has happened TRIES times.

    Of those who meet at one row, one goes on each time: the others come back apart from each other.
    """
    for place in range(TRIES - 1):
        try:
            return act()
        except Contested:
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _PAUSE * 2**place)))  # noqa: S311
    return act()


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
