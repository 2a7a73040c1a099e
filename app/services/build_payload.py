"""What a message says, from the state of its case at the moment it is sent or fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from app.domain.age import AgeBasis
from app.domain.case import Case, CaseState, Item
from app.domain.deadlines import DeadlinePolicy
from app.domain.outcome import is_decided
from app.domain.report import looks_foreign
from app.services.house import House
from app.services.items import open_hashes, open_location
from app.services.record_feedback import own_notice
from hashing.distance import MATCH_DISTANCE
from partners.errors import UnknownPartner
from partners.events import EventType
from partners.model import CaseId, Message, Notice, NoticeId, Partner
from partners.ports import Payload

_Name = tuple[CaseId, int]  # of an item

_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Told:
    """An item and what every partner is told of it alike."""

    item: Item
    alike: Mapping[str, object]


@dataclass(slots=True)
class _Reading:
    """What was read of notices, cases and items for the messages of one moment."""

    notices: dict[NoticeId, Notice] = field(default_factory=dict)
    items: dict[_Name, tuple[Case, Item]] = field(default_factory=dict)
    told: dict[_Name, _Told | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildPayload:
    """Gives partners.ports.Payloads."""

    house: House
    policies: Mapping[str, DeadlinePolicy]
    public_url: str

    def together(self, messages: Sequence[Message] = ()) -> BuildTogether:
        """As `Payloads.together`."""
        store = self.house.store
        notices = store.notices_named(m.notice_id for m in messages if m.notice_id is not None)
        telling = [m for m in messages if m.event_type != EventType.REMOVAL_WITHDRAWN]
        about = [notices[m.notice_id] for m in telling if m.notice_id in notices]
        items = store.items_named((notice.case_id, notice.item_number) for notice in about)
        return BuildTogether(self, _Reading(notices, items))

    def build(self, message: Message, partner: Partner, now: datetime) -> Payload | None:
        """The payload, or None when there is nothing left to tell."""
        return self.together().build(message, partner, now)

    def fetch(self, partner: Partner, notice_id: NoticeId) -> Mapping[str, object]:
        """The item as that partner may read it over the partner API.

        Raises UnknownPartner, also once the case was withdrawn.
        """
        notice = own_notice(self.house, partner, notice_id)
        told = self.told(notice, _Reading())
        if told is None:
            raise UnknownPartner
        allowed = self.policies[partner.deadline_policy].allowed
        return self.inner(notice, partner, told, self.outer(notice, partner, allowed))

    def told(self, notice: Notice, reading: _Reading) -> _Told | None:
        """What there is to tell of the notice's item, if anything."""
        name = (notice.case_id, notice.item_number)
        if name not in reading.told:
            found = reading.items.get(name) or self.house.store.items_named([name]).get(name)
            reading.told[name] = self._told(*found) if found else None
        return reading.told[name]

    def _told(self, case: Case, item: Item) -> _Told | None:
        """None once the case or the item was withdrawn: then no partner is told any more."""
        taken_back = case.state is not CaseState.ACTIVE or item.withdrawn_at is not None
        if taken_back or item.sealed_hashes is None:
            return None
        return _Told(item, self._alike(case, item))

    def outer(
        self, notice: Notice, partner: Partner, allowed: timedelta | None
    ) -> dict[str, object]:
        """What any proxy on the way may read. The same on every retry while nothing has changed.

        `allowed` is how long the partner has, from its first receipt on: the deadline itself is
        there once that is known.
        """
        due = notice.deadline_at if notice.delivered_at is not None else None
        return {
            "item_id": notice.id,
            "deadline": due.isoformat() if due else None,
            "deadline_hours": None if allowed is None else allowed // _HOUR,
            "deadline_policy": partner.deadline_policy,
            "item_url": f"{self.public_url}/v1/partner/items/{notice.id}",
        }

    def inner(
        self, notice: Notice, partner: Partner, told: _Told, outer: Mapping[str, object]
    ) -> dict[str, object]:
        """What only the partner may read."""
        return {
            **outer,
            **told.alike,
            "where_seen": open_location(self.house, told.item, partner.id),
            "jurisdiction": self.policies[partner.deadline_policy].jurisdiction,
        }

    def _alike(self, case: Case, item: Item) -> dict[str, object]:
        entries = open_hashes(self.house, item)
        return {
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
        }

    def _other_reports(self, item: Item) -> int:
        """How many other items carry the very same primary hash. Its sender is never told."""
        if item.duplicate_tag is None:
            return 0
        return max(0, self.house.store.duplicates(item.duplicate_tag) - 1)


@dataclass(frozen=True, slots=True)
class BuildTogether:
    """Gives partners.ports.Payloads for a moment: a report goes to many partners at once."""

    each: BuildPayload
    reading: _Reading

    def together(self, messages: Sequence[Message] = ()) -> BuildTogether:
        """Another, which reads anew."""
        return self.each.together(messages)

    def build(self, message: Message, partner: Partner, now: datetime) -> Payload | None:
        """The payload, or None when there is nothing left to tell."""
        notice = self._notice(message.notice_id)
        if notice is None:
            return None
        if message.event_type == EventType.REMOVAL_WITHDRAWN:
            return Payload({"item_id": notice.id})
        if message.event_type == EventType.REMOVAL_REMINDER and is_decided(notice):
            return None  # it answered before the reminder left
        told = self.each.told(notice, self.reading)
        if told is None:
            return None
        outer = self.each.outer(notice, partner, message.deadline)
        return Payload(outer, self.each.inner(notice, partner, told, outer))

    def _notice(self, notice_id: NoticeId | None) -> Notice | None:
        if notice_id is None:
            return None
        return self.reading.notices.get(notice_id) or self.each.house.store.notice(notice_id)


def _assurance(case: Case) -> str:
    attested = case.basis is AgeBasis.COUNSELLOR_ATTESTED
    return "counsellor_assisted" if attested else "self_reported"
