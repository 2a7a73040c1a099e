"""A young person takes a case back."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.audit import Action, Actor
from app.domain.case import CaseState
from app.domain.errors import CaseNotFound
from app.services.house import House, insist
from app.services.open_case import CaseView, view
from partners.events import EventType


@dataclass(frozen=True, slots=True)
class WithdrawCase:
    """Every platform that was told is told to forget; our hashes go once they have."""

    house: House

    def __call__(self, case_key: bytes) -> CaseView:
        """The case after it. Repeating it changes nothing more. Raises CaseNotFound."""
        return insist(lambda: self._once(case_key))

    def _once(self, case_key: bytes) -> CaseView:
        house = self.house
        case = house.store.case_by_key(house.case_tag(case_key))
        if case is None:
            raise CaseNotFound
        if case.withdrawn_at is None:
            now = house.clock.now()
            sweep_at = house.retention.sweep_at(CaseState.WITHDRAWN, now)
            withdrawn = case.taken_back(now, sweep_at)
            items = [i.number for i in house.store.items(case.id) if i.withdrawn_at is None]
            house.store.commit(
                *house.audited(withdrawn, Actor.YOUNG_PERSON, Action.WITHDRAWN, "asked"),
                house.event(EventType.REMOVAL_WITHDRAWN, case.id, items),
            )
            case = house.store.case(case.id) or withdrawn
        return view(house, case)
