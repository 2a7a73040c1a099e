"""Our copy of a case's hashes is erased; the row stays, so that the outcome can be read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.audit import Action, Actor
from app.domain.case import Case, CaseState
from app.domain.errors import Contested
from app.domain.retention import everybody_forgot
from app.ports import PutItem
from app.services.house import House
from partners.model import CaseId


@dataclass(frozen=True, slots=True)
class ScrubCase:
    """Erase the hashes and where-seen text of a case."""

    house: House

    def once_forgotten(self, case_id: CaseId) -> bool:
        """Scrub a withdrawn case if each partner that was told has forgotten it."""
        case = self.house.store.case(case_id)
        if case is None or case.state is not CaseState.WITHDRAWN:
            return False
        if not everybody_forgot(self.house.store.notices_of(case_id)):
            return False
        return self.now(case, "all_acknowledged")

    def now(self, case: Case, reason: str) -> bool:
        """Scrub whatever its partners said. False if somebody else changed the case meanwhile."""
        house, now = self.house, self.house.clock.now()
        sweep_at = house.retention.sweep_at(CaseState.SCRUBBED, now)
        scrubbed = case.moved(CaseState.SCRUBBED, now, sweep_at)
        changes = house.audited(scrubbed, Actor.SERVICE, Action.SCRUBBED, reason)
        for item in house.store.items(case.id):
            bare = replace(item, sealed_hashes=None, sealed_locations=None, duplicate_tag=None)
            changes.append(PutItem(bare))
        try:
            house.store.commit(*changes)
        except Contested:
            return False
        return True
