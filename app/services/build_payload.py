"""What a message says, from the state of its case at the moment it is sent or fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.age import AgeBasis
from app.domain.case import Case, CaseState, Item
from app.domain.deadlines import DeadlinePolicy, deadline_at
from app.domain.report import looks_foreign
from app.services.house import House
from app.services.items import open_hashes, open_location
from app.services.record_feedback import own_notice
from hashing.distance import MATCH_DISTANCE
from partners.errors import UnknownPartner
from partners.events import EventType
from partners.model import Message, Notice, NoticeId, Partner
from partners.ports import Payload


@dataclass(frozen=True, slots=True)
class BuildPayload:
    """Gives partners.ports.Payloads."""

    house: House
    policies: Mapping[str, DeadlinePolicy]
    public_url: str

    def build(self, message: Message, partner: Partner, now: datetime) -> Payload | None:
        """The payload, or None when there is nothing left to tell."""
        notice = message.notice_id and self.house.store.notice(message.notice_id)
        if not notice:
            return None
        if message.event_type == EventType.REMOVAL_WITHDRAWN:
            return Payload({"item_id": notice.id})
        found = self._held(notice)
        if found is None:
            return None
        outer = self._outer(notice, partner, now)
        return Payload(outer, self._inner(notice, partner, *found, now))

    def _held(self, notice: Notice) -> tuple[Case, Item] | None:
        """The case and item, unless the case was withdrawn: then no partner is told any more."""
        case = self.house.store.case(notice.case_id)
        if case is None or case.state is not CaseState.ACTIVE:
            return None
        items = self.house.store.items(notice.case_id)
        item = next((i for i in items if i.number == notice.item_number), None)
        return None if item is None or item.sealed_hashes is None else (case, item)

    def _outer(self, notice: Notice, partner: Partner, now: datetime) -> dict[str, object]:
        due = self._deadline(notice, partner, now)
        return {
            "item_id": notice.id,
            "deadline": due.isoformat() if due else None,
            "deadline_policy": partner.deadline_policy,
            "item_url": f"{self.public_url}/v1/partner/items/{notice.id}",
        }

    def _inner(
        self, notice: Notice, partner: Partner, case: Case, item: Item, now: datetime
    ) -> dict[str, object]:
        entries = open_hashes(self.house, item)
        return {
            **self._outer(notice, partner, now),
            "media_kind": item.kind,
            "hashes": [
                {"type": e.type, "value": str(e.value), "quality": e.quality, "variant": e.variant}
                for e in entries
            ],
            "recommended_distance": MATCH_DISTANCE,
            "age_basis": case.basis,
            "assurance": _assurance(case),
            "review_required": True,
            "unusual_hashes": looks_foreign(entries),
            "other_reports": self._other_reports(item),
            "preserve_evidence": True,
            "where_seen": open_location(self.house, item, partner.id),
            "jurisdiction": self.policies[partner.deadline_policy].jurisdiction,
        }

    def _other_reports(self, item: Item) -> int:
        """How many other items carry the very same primary hash. Its sender is never told."""
        if item.duplicate_tag is None:
            return 0
        return max(0, self.house.store.duplicates(item.duplicate_tag) - 1)

    def _deadline(self, notice: Notice, partner: Partner, now: datetime) -> datetime | None:
        """The stored deadline; before the first delivery, the one that would start now."""
        if notice.delivered_at is not None:
            return notice.deadline_at
        return deadline_at(now, self.policies[partner.deadline_policy].allowed)

    def fetch(self, partner: Partner, notice_id: NoticeId) -> Mapping[str, object]:
        """The item as that partner may read it over the partner API.

        Raises UnknownPartner, also once the case was withdrawn.
        """
        notice = own_notice(self.house, partner, notice_id)
        found = self._held(notice)
        if found is None:
            raise UnknownPartner
        return self._inner(notice, partner, *found, self.house.clock.now())


def _assurance(case: Case) -> str:
    attested = case.basis is AgeBasis.COUNSELLOR_ATTESTED
    return "counsellor_assisted" if attested else "self_reported"
