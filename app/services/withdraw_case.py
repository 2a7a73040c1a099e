"""A young person takes a case back."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.audit import Action, Actor
from app.domain.case import CaseState
from app.domain.errors import CaseNotFound, Contested
from app.services.house import House
from app.services.open_case import CaseView, view
from partners.events import EventType


@dataclass(frozen=True, slots=True)
class WithdrawCase:
    """Every platform that was told is told to forget; our hashes go once they have."""

    house: House

    def __call__(self, case_key: bytes) -> CaseView:
        """The case after it. Repeating it changes nothing more. Raises CaseNotFound."""
        for _ in range(10):
            try:
                return self._once(case_key)
            except Contested:
                continue  # another change came between; a withdrawal must not lose to it
        raise Contested

    def _once(self, case_key: bytes) -> CaseView:
        house = self.house
        case = house.store.case_by_key(house.case_tag(case_key))
        if case is None:
            raise CaseNotFound
        if case.withdrawn_at is None:
            now = house.clock.now()
            sweep_at = house.retention.sweep_at(CaseState.WITHDRAWN, now)
            withdrawn = case.taken_back(now, sweep_at)
            house.store.commit(
                *house.audited(withdrawn, Actor.YOUNG_PERSON, Action.WITHDRAWN, "asked"),
                house.event(EventType.REMOVAL_WITHDRAWN, case.id, range(1, case.item_count + 1)),
            )
            case = house.store.case(case.id) or withdrawn
        return view(house, case)
