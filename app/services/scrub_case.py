"""Our copy of a case's hashes is erased; the row stays, so that the outcome can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.audit import Action, Actor
from app.domain.case import Case, CaseState, Item
from app.domain.errors import Contested
from app.domain.retention import everybody_forgot
from app.ports import Change, PutItem
from app.services.house import House
from partners.model import CaseId


@dataclass(frozen=True, slots=True)
class ScrubCase:
    """Erase the hashes and where-seen text of a case, or of items taken back by themselves."""

    house: House

    def once_forgotten(self, case_id: CaseId) -> bool:
        """Scrub a withdrawn case, or withdrawn items of another, that each partner told forgot."""
        case = self.house.store.case(case_id)
        if case is None or case.state is CaseState.SCRUBBED:
            return False
        notices = self.house.store.notices_of(case_id)
        if case.state is CaseState.WITHDRAWN:
            return everybody_forgot(notices) and self.now(case, "all_acknowledged")
        unheard = {n.item_number for n in notices if not everybody_forgot([n])}
        return self._items(case, lambda item: item.number not in unheard, "all_acknowledged")

    def items_over_limit(self, case: Case) -> bool:
        """Scrub what was taken back so long ago that no partner is waited for any more."""
        limit = self.house.clock.now() - self.house.retention.withdrawal_limit
        items = self.house.store.items(case.id)
        oldest = min(i.withdrawn_at for i in items if i.withdrawn_at and i.sealed_hashes)
        # The oldest goes in any case: it was due by the limit of its day.
        until = max(limit, oldest)
        return self._items(case, _before(until), "limit")

    def _items(self, case: Case, chosen: Callable[[Item], bool], reason: str) -> bool:
        """Scrub the chosen of the items that were taken back by themselves."""
        house = self.house
        waiting = [i for i in house.store.items(case.id) if i.waits_to_be_forgotten]
        going = [item for item in waiting if chosen(item)]
        if not going:
            return False
        staying = [item for item in waiting if item not in going]
        swept = replace(case, sweep_at=house.retention.next_sweep(case, staying))
        changes = house.audited(swept, Actor.SERVICE, Action.ITEM_SCRUBBED, reason)
        return self._commit([*changes, *(PutItem(item.scrubbed()) for item in going)])

    def now(self, case: Case, reason: str) -> bool:
        """Scrub whatever its partners said. False if somebody else changed the case meanwhile."""
        house, now = self.house, self.house.clock.now()
        sweep_at = house.retention.sweep_at(CaseState.SCRUBBED, now)
        scrubbed = case.moved(CaseState.SCRUBBED, now, sweep_at)
        changes = house.audited(scrubbed, Actor.SERVICE, Action.SCRUBBED, reason)
        changes += [PutItem(item.scrubbed()) for item in house.store.items(case.id)]
        return self._commit(changes)

    def _commit(self, changes: list[Change]) -> bool:
        try:
            self.house.store.commit(*changes)
        except Contested:
            return False
        return True


def _before(until: datetime) -> Callable[[Item], bool]:
    return lambda item: item.withdrawn_at is not None and item.withdrawn_at <= until
