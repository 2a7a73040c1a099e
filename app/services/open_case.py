"""What a case key shows: every item, every platform, and what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from app.domain.age import AgeBasis
from app.domain.case import Case, CaseState, Item, MediaKind
from app.domain.errors import CaseNotFound
from app.domain.outcome import WORDS, Outcome, outcome_of
from app.domain.report import takes_part
from app.ports import CaseFile
from app.services.house import House
from partners.model import Notice, Partner, PartnerId

_TOLD_WITHIN: Final = timedelta(minutes=10)
"""The relay needs a moment; what no platform was told of by then was for nobody who took part."""


@dataclass(frozen=True, slots=True)
class PlatformView:
    """One item at one platform, in the words a young person reads."""

    platform: PartnerId
    name: str
    outcome: Outcome
    words: str
    since: date
    reason_code: str | None = None
    automated: bool | None = None
    redress_url: str | None = None


@dataclass(frozen=True, slots=True)
class ItemView:
    """One photo or video of the case."""

    number: int
    kind: MediaKind
    added_on: date
    withdrawn: bool
    platforms: tuple[PlatformView, ...]


@dataclass(frozen=True, slots=True)
class CaseView:
    """The whole case as its holder sees it. Dates, no times: nobody reads the hour off a screen."""

    state: CaseState
    age_basis: AgeBasis
    reported_on: date
    can_change: bool
    items: tuple[ItemView, ...]


@dataclass(frozen=True, slots=True)
class OpenCase:
    """Find the case of a key."""

    house: House

    def __call__(self, case_key: bytes) -> CaseView:
        """The case. Raises CaseNotFound, the same for a key never used and a purged case's."""
        file = self.house.store.file_by_key(self.house.case_tag(case_key))
        if file is None:
            raise CaseNotFound
        return _seen(file, self.house.store.partners(), self.house.clock.now())


def view(house: House, case: Case) -> CaseView:
    """The case as its holder sees it."""
    file = CaseFile(case, house.store.items(case.id), house.store.notices_of(case.id))
    return _seen(file, house.store.partners(), house.clock.now())


def _seen(file: CaseFile, partners: Sequence[Partner], now: datetime) -> CaseView:
    case = file.case
    items = tuple(_item(item, case, file.notices, partners, now) for item in file.items)
    return CaseView(
        state=case.state,
        age_basis=case.basis,
        reported_on=case.created_at.date(),
        can_change=case.state is CaseState.ACTIVE,
        items=items,
    )


def _item(
    item: Item, case: Case, notices: Sequence[Notice], partners: Sequence[Partner], now: datetime
) -> ItemView:
    told = {n.partner_id: n for n in notices if n.item_number == item.number}
    # A platform that joins later is not told of what was there before, and not shown as if it were.
    waits = not told and now - item.added_at < _TOLD_WITHIN
    withdrawn = case.withdrawn_at is not None or item.withdrawn_at is not None
    rows = [
        _platform(partner, told.get(partner.id), item, withdrawn)
        for partner in partners
        if partner.id in told or (waits and _will_be_told(partner, item, case))
    ]
    return ItemView(item.number, item.kind, item.added_at.date(), withdrawn, tuple(rows))


def _will_be_told(partner: Partner, item: Item, case: Case) -> bool:
    wanted = item.withdrawn_at is None and (not item.platforms or partner.id in item.platforms)
    return wanted and takes_part(partner) and case.state is CaseState.ACTIVE


def _platform(partner: Partner, notice: Notice | None, item: Item, withdrawn: bool) -> PlatformView:
    if notice is None:
        return PlatformView(
            partner.id, partner.name, Outcome.SENT, WORDS[Outcome.SENT], item.added_at.date()
        )
    outcome = outcome_of(notice)
    if withdrawn and notice.withdrawn_at is None:
        outcome = Outcome.FORGETTING  # the relay is about to tell this partner
    said = notice.feedback
    return PlatformView(
        platform=partner.id,
        name=partner.name,
        outcome=outcome,
        words=WORDS[outcome],
        since=said.at.date(),
        reason_code=said.reason_code,
        automated=said.automated,
        redress_url=said.redress_url,
    )
