"""A young person takes one photo or video of a case back; the others stay."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.audit import Action, Actor
from app.domain.case import Case, CaseState, Item
from app.domain.errors import BadReport, CaseNotFound
from app.ports import PutItem
from app.services.house import House, insist
from app.services.open_case import CaseView, view
from partners.events import EventType


@dataclass(frozen=True, slots=True)
class WithdrawItem:
    """Every platform that was told of it is told to forget; our hashes of it go once they have.

    The case stays as it is, even when this was its last item: a wrong photo can be taken back and
    the right one added.
    """

    house: House

    def __call__(self, case_key: bytes, number: int) -> CaseView:
        """The case after it. Repeating it changes nothing. Raises CaseNotFound or BadReport."""
        return insist(lambda: self._once(case_key, number))

    def _once(self, case_key: bytes, number: int) -> CaseView:
        house = self.house
        case = house.store.case_by_key(house.case_tag(case_key))
        if case is None:
            raise CaseNotFound
        item = next((i for i in house.store.items(case.id) if i.number == number), None)
        if item is None:
            raise BadReport("no such item in this case", "/item")
        if case.withdrawn_at is None and item.withdrawn_at is None:
            case = self._withdraw(case, item)
        return view(house, case)

    def _withdraw(self, case: Case, item: Item) -> Case:
        house = self.house
        gone = replace(item, withdrawn_at=house.clock.now())
        if case.state is CaseState.ACTIVE:
            sweep_at = min(case.sweep_at, house.retention.next_sweep(case, [gone]))
            case = replace(case, sweep_at=sweep_at)
        house.store.commit(
            *house.audited(case, Actor.YOUNG_PERSON, Action.ITEM_WITHDRAWN, "asked"),
            PutItem(gone),
            house.event(EventType.REMOVAL_WITHDRAWN, case.id, [item.number]),
        )
        return case
